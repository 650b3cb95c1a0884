//! Flags of the commands that connect to a node.

use crate::client::Target;
use std::time::Duration;

/// A connection is given this long to come up; a question of `orrery status`, to be answered.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Where to connect.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connect {
    /// Connect to this host
    #[arg(long, short = 'h', value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// Connect to this port
    #[arg(long, short = 'p', value_name = "PORT", default_value_t = 5433)]
    port: u16,
    /// As this user
    #[arg(long, short = 'U', value_name = "NAME", default_value = "orrery")]
    user: String,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

impl Connect {
    pub(super) fn target(&self, database: &str, application: &'static str) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            database: database.to_owned(),
            application,
        }
    }
}
