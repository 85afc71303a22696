pub(crate) fn run(_: &mapvar_processes::Args) {}
