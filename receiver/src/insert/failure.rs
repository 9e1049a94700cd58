//! Two kinds of failure: content, a closed list of codes that say the rows themselves cannot be
//! stored, and everything else, which is waited for and tried again for ever.

use clickhouse::error::Error;

/// Codes of the server that speak of the rows we have sent, from ClickHouse's `ErrorCodes.cpp`.
/// Anything not listed is retried, because retrying loses nothing.
const CONTENT: [(u32, &str); 14] = [
    (6, "CANNOT_PARSE_TEXT"),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
    (38, "CANNOT_PARSE_DATE"),
    (41, "CANNOT_PARSE_DATETIME"),
    (53, "TYPE_MISMATCH"),
    (70, "CANNOT_CONVERT_TYPE"),
    (72, "CANNOT_PARSE_NUMBER"),
    (117, "INCORRECT_DATA"),
    (131, "TOO_LARGE_STRING_SIZE"),
    (191, "SET_SIZE_LIMIT_EXCEEDED"),
    (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN"),
    (469, "VIOLATED_CONSTRAINT"),
    (691, "UNKNOWN_ELEMENT_OF_ENUM"),
];

/// Why a request to the server did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// To be tried again, for ever.
    #[error("{0}")]
    Wait(String),
    /// The rows cannot be stored as they are.
    #[error("{0}")]
    Content(String),
}

impl Failure {
    /// A failure that is waited for.
    pub fn wait(text: &str) -> Failure {
        Failure::Wait(text.to_string())
    }

    fn of_response(text: &str) -> Failure {
        let first_line: String = text.lines().next().unwrap_or_default().chars().take(500).collect();
        match code(text) {
            Some(code) if CONTENT.iter().any(|(listed, _)| *listed == code) => Failure::Content(first_line),
            _ => Failure::Wait(first_line),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::BadResponse(text) => Failure::of_response(&text),
            other => Failure::Wait(with_causes(&other)),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Wait(format!("the journal cannot be read or written: {error}"))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// The code in `Code: 60. DB::Exception: ...`.
fn code(text: &str) -> Option<u32> {
    let (_, behind) = text.split_once("Code: ")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_a_closed_list() {
        let constraint = "Code: 469. DB::Exception: Constraint `c` for table t is violated at row 3.";
        assert!(matches!(Failure::of_response(constraint), Failure::Content(_)));
        for text in [
            "Code: 60. DB::Exception: Table qoestor.fullflow does not exist. (UNKNOWN_TABLE)",
            "Code: 241. DB::Exception: Memory limit (total) exceeded",
            "Code: 252. DB::Exception: Too many parts",
            "Code: 33. DB::Exception: Cannot read all data",
            // A password that is wrong, or not yet right: the file is looked at all the time.
            "Code: 516. DB::Exception: qoe: Authentication failed: password is incorrect",
            "Code: 192. DB::Exception: There is no user `qoe`",
            "Code: 497. DB::Exception: qoe: Not enough privileges",
            "401 Unauthorized",
            "403 Forbidden",
            "502 Bad Gateway",
            "",
        ] {
            assert!(matches!(Failure::of_response(text), Failure::Wait(_)), "{text}");
        }
    }
}
