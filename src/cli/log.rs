//! The log: level and format.

use crate::server::Failure;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Flags of commands that log.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Log {
    /// What is logged: error, warn, info, debug, trace, or as RUST_LOG says it [default: RUST_LOG, else info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How: a line of text for people, or a line of JSON for programs
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

impl Log {
    /// Unless somebody has said what to log: only what is wrong.
    pub(super) fn quiet(&mut self) {
        self.log.get_or_insert_with(|| "error".to_owned());
    }

    /// Starts logging to stderr.
    ///
    /// # Errors
    /// When the level is none.
    pub(super) fn start(&self) -> Result<(), Failure> {
        let filter = match &self.log {
            Some(level) => EnvFilter::try_new(level).map_err(|_| {
                Failure::usage(format!("--log: `{level}` is no level: use error, warn, info, debug or trace"))
            })?,
            None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        };
        let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // A second logger in one process (a test) is no reason to fail.
        let _ = match self.log_format {
            Format::Text => {
                let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
                base.with_ansi(ansi).compact().finish().try_init()
            }
            Format::Json => base.json().flatten_event(true).finish().try_init(),
        };
        Ok(())
    }
}
