//! What a check finds.

use std::fmt;

/// The severity of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Nothing is lost. An operation is running or was interrupted, or space is not freed yet. The
    /// next process that opens the map for writing, or needs the space, completes that.
    Note,
    /// The map contradicts itself, or its disk has failed.
    Fault,
}

/// A finding of `Map::check` or `MapOptions::check`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Finding {
    /// Offset in the region, in bytes.
    pub at: u64,
    /// Its severity.
    pub severity: Severity,
    /// The variable concerned, if it is known.
    pub variable: Option<String>,
    /// The finding.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Fault => "fault",
        };
        write!(f, "{severity} at {:#x}: ", self.at)?;
        if let Some(variable) = &self.variable {
            write!(f, "variable {variable:?}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    findings: Vec<Finding>,
    variables: u64,
}

impl Finding {
    /// Makes a fault: the map contradicts itself at offset `at`.
    #[doc(hidden)]
    pub fn fault(at: u64, what: impl Into<String>) -> Self {
        Self { at, severity: Severity::Fault, variable: None, what: what.into() }
    }

    /// Makes a note: nothing is lost, but something at offset `at` is incomplete.
    #[doc(hidden)]
    pub fn note(at: u64, what: impl Into<String>) -> Self {
        Self { at, severity: Severity::Note, variable: None, what: what.into() }
    }
}

impl Check {
    /// Makes a result of findings, in the order of their offsets, and the number of valid
    /// variables.
    #[doc(hidden)]
    pub fn new(findings: Vec<Finding>, variables: u64) -> Self {
        Self { findings, variables }
    }

    /// Returns all findings, in the order of their offsets.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns how many findings are faults.
    pub fn faults(&self) -> usize {
        self.findings.iter().filter(|found| found.severity == Severity::Fault).count()
    }

    /// Returns how many findings are notes.
    pub fn notes(&self) -> usize {
        self.findings.len() - self.faults()
    }

    /// Returns how many variables are valid.
    pub fn variables(&self) -> u64 {
        self.variables
    }

    /// Whether there is no fault.
    pub fn is_whole(&self) -> bool {
        self.faults() == 0
    }
}
