//! SQL errors: deterministic, replicated, with PostgreSQL's SQLSTATE.
//!
//! This type can only say what a client may be told. An I/O error cannot be expressed in it, so the execution of a log
//! entry cannot end in one (`ARCHITECTURE.md`, "four kinds of errors").

use serde::{Deserialize, Serialize};
use std::fmt;

/// A five-character SQLSTATE (PostgreSQL 15, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// The five characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! states {
    ($($name:ident = $code:literal;)*) => {
        #[allow(missing_docs, reason = "the names are PostgreSQL's own")]
        impl SqlState {
            $(pub const $name: Self = Self(*$code);)*
        }
    };
}

states! {
    SUCCESSFUL_COMPLETION = b"00000";
    PROTOCOL_VIOLATION = b"08P01";
    FEATURE_NOT_SUPPORTED = b"0A000";
    CARDINALITY_VIOLATION = b"21000";
    DATA_EXCEPTION = b"22000";
    STRING_DATA_RIGHT_TRUNCATION = b"22001";
    NUMERIC_VALUE_OUT_OF_RANGE = b"22003";
    NULL_VALUE_NOT_ALLOWED = b"22004";
    INVALID_DATETIME_FORMAT = b"22007";
    DATETIME_FIELD_OVERFLOW = b"22008";
    INVALID_TIME_ZONE_DISPLACEMENT_VALUE = b"22009";
    SUBSTRING_ERROR = b"22011";
    DIVISION_BY_ZERO = b"22012";
    INVALID_ARGUMENT_FOR_LOGARITHM = b"2201E";
    INVALID_ARGUMENT_FOR_POWER_FUNCTION = b"2201F";
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE = b"2201W";
    INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE = b"2201X";
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    INVALID_PARAMETER_VALUE = b"22023";
    INVALID_ESCAPE_SEQUENCE = b"22025";
    INVALID_TEXT_REPRESENTATION = b"22P02";
    INVALID_BINARY_REPRESENTATION = b"22P03";
    INTEGRITY_CONSTRAINT_VIOLATION = b"23000";
    NOT_NULL_VIOLATION = b"23502";
    FOREIGN_KEY_VIOLATION = b"23503";
    UNIQUE_VIOLATION = b"23505";
    CHECK_VIOLATION = b"23514";
    INVALID_TRANSACTION_STATE = b"25000";
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03";
    INVALID_SQL_STATEMENT_NAME = b"26000";
    INVALID_AUTHORIZATION_SPECIFICATION = b"28000";
    INVALID_CURSOR_NAME = b"34000";
    INVALID_CATALOG_NAME = b"3D000";
    INVALID_SCHEMA_NAME = b"3F000";
    TRANSACTION_ROLLBACK = b"40000";
    SERIALIZATION_FAILURE = b"40001";
    STATEMENT_COMPLETION_UNKNOWN = b"40003";
    SYNTAX_ERROR = b"42601";
    INVALID_COLUMN_REFERENCE = b"42P10";
    DUPLICATE_COLUMN = b"42701";
    AMBIGUOUS_COLUMN = b"42702";
    UNDEFINED_COLUMN = b"42703";
    UNDEFINED_OBJECT = b"42704";
    DUPLICATE_OBJECT = b"42710";
    AMBIGUOUS_FUNCTION = b"42725";
    GROUPING_ERROR = b"42803";
    DATATYPE_MISMATCH = b"42804";
    WRONG_OBJECT_TYPE = b"42809";
    CANNOT_COERCE = b"42846";
    UNDEFINED_FUNCTION = b"42883";
    RESERVED_NAME = b"42939";
    UNDEFINED_TABLE = b"42P01";
    UNDEFINED_PARAMETER = b"42P02";
    DUPLICATE_CURSOR = b"42P03";
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    DUPLICATE_SCHEMA = b"42P06";
    DUPLICATE_TABLE = b"42P07";
    INVALID_TABLE_DEFINITION = b"42P16";
    INDETERMINATE_DATATYPE = b"42P18";
    INVALID_COLUMN_DEFINITION = b"42611";
    INVALID_OBJECT_DEFINITION = b"42P17";
    OUT_OF_MEMORY = b"53200";
    TOO_MANY_CONNECTIONS = b"53300";
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    STATEMENT_TOO_COMPLEX = b"54001";
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    LOCK_NOT_AVAILABLE = b"55P03";
    QUERY_CANCELED = b"57014";
    ADMIN_SHUTDOWN = b"57P01";
    CANNOT_CONNECT_NOW = b"57P03";
    IDLE_SESSION_TIMEOUT = b"57P05";
    UNDEFINED_FILE = b"58P01";
    INTERNAL_ERROR = b"XX000";
    DATA_CORRUPTED = b"XX001";
}

/// What a client is told when a statement fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlError {
    /// SQLSTATE.
    pub state: SqlState,
    /// Primary message, PostgreSQL's wording where it has one.
    pub message: String,
    /// A second sentence with the particulars.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in its data a COPY failed.
    pub context: Option<String>,
    /// 1-based character position in the statement's text.
    pub position: Option<u32>,
    /// Table, column and constraint that the error is about, as the protocol's own fields (`t`, `c`, `n`).
    pub table: Option<String>,
    /// See `table`.
    pub column: Option<String>,
    /// See `table`.
    pub constraint: Option<String>,
}

impl SqlError {
    /// An error with a state and a message.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            position: None,
            table: None,
            column: None,
            constraint: None,
        }
    }

    /// `0A000` for something that Orrery does not have (yet).
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, what)
    }

    /// With particulars.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// In this place of the data.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// At a 1-based character position.
    #[must_use]
    pub const fn at(mut self, position: u32) -> Self {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

impl std::error::Error for SqlError {}
