//! `mapvar-bridge unit`

use super::setting::print;
use crate::{args::Unit, config::file, failure::Failure};

/// Prints a unit for systemd.
pub(super) fn run(args: &Unit) -> Result<bool, Failure> {
    let config = file::read(&args.config)?;
    let program = std::env::current_exe()?;
    let path = std::path::absolute(&args.config)?;
    print(&format!(
        "[Unit]\n\
         Description=mapvar-bridge of node {}\n\
         After=network-online.target\n\
         Wants=network-online.target\n\n\
         [Service]\n\
         User={}\n\
         ExecStart=\"{}\" run --config \"{}\"\n\
         Restart=always\n\
         RestartSec=1\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        config.node,
        args.user,
        program.display(),
        path.display(),
    ))?;
    Ok(true)
}
