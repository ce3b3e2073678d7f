//! How many files this process may have open: each connection takes one.
//!
//! Most systems start processes with a low limit and let them raise it. In comes how many connections there may be;
//! the limit is raised for that alone, as far as the system lets it.

/// What is open beside connections: database, queue, results, log.
const OTHERS: u64 = 128;

/// A limit, and what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// For all connections and what is open beside them.
    pub needed: u64,
    /// What the system allows.
    pub allowed: u64,
}

impl OpenFiles {
    /// The limit of this process, raised for so many connections if it was below.
    pub fn raised_for(connections: usize) -> Self {
        let needed = (connections as u64).saturating_add(OTHERS);
        Self {
            needed,
            allowed: raise(needed),
        }
    }

    /// Whether there are enough.
    pub fn suffice(&self) -> bool {
        self.allowed >= self.needed
    }

    /// How many connections there can be.
    pub fn connections(&self) -> u64 {
        self.allowed.min(self.needed).saturating_sub(OTHERS)
    }

    /// Says in the log if there are too few.
    pub fn warn(&self) {
        if !self.suffice() {
            tracing::warn!(
                allowed = self.allowed,
                connections = self.connections(),
                "fewer files may be open than http.max_connections needs: raise the limit, or set so many connections"
            );
        }
    }
}

#[cfg(unix)]
fn raise(needed: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    );
    let raised = needed.min(hard);
    if soft >= raised {
        return soft;
    }
    let asked = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, asked).map_or(soft, |()| raised)
}

#[cfg(not(unix))]
fn raise(_: u64) -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_connections_is_told() {
        let few = OpenFiles {
            needed: 10_128,
            allowed: 1024,
        };
        assert!(!few.suffice());
        assert_eq!(few.connections(), 896);
        assert!(OpenFiles::raised_for(10).suffice());
    }
}
