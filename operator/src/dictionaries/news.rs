//! What is worth an event about a dictionary: a version that became current, and trouble when it begins. Says
//! nothing twice, not even after a restart.

use crds::status::QoeDictionaryStatus;
use dictionaries::{Report, State};

use super::judgement::{self, Standing};

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Somebody should look.
    pub warning: bool,
    /// Its reason.
    pub reason: &'static str,
    /// Its words.
    pub note: String,
}

/// What has changed since `earlier`, or, after a restart, since the status was written.
pub fn news(earlier: Option<&Report>, status: Option<&QoeDictionaryStatus>, report: &Report) -> Option<News> {
    let judged = judgement::of_report(report);
    let reason = judged.standing.reason();
    match (&report.state, judged.standing) {
        (State::InForce, standing) => {
            let version = report.version?;
            let known = match earlier {
                Some(earlier) => earlier.version == Some(version) && !is_trouble(&earlier.state),
                None => status.is_some_and(|status| status.version == Some(version.to_string())),
            };
            let was = standing == Standing::InForceWithBadRows;
            let reason = if was { Standing::BadRows.reason() } else { "Loaded" };
            (!known).then_some(News { warning: was, reason, note: judged.message })
        }
        (state, _) if !is_trouble(state) => None,
        _ => {
            let known = match earlier {
                Some(earlier) => judgement::of_report(earlier).standing.reason() == reason,
                None => status.is_some_and(|status| {
                    status.conditions.iter().any(|found| found.type_ == "Ready" && found.reason == reason)
                }),
            };
            (!known).then_some(News { warning: true, reason, note: judged.message })
        }
    }
}

/// What a person can do something about.
fn is_trouble(state: &State) -> bool {
    match state {
        State::InForce | State::WaitsFor(_) | State::Failed(_) => false,
        State::BadRows | State::Conflict(_) | State::Unreachable(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use dictionaries::Unreachable;
    use dictionaries::parse::{BadRow, BadRows};

    use super::*;

    fn report(version: u32, state: State) -> Report {
        Report {
            object: "a".to_owned(),
            rows: 3,
            bad: BadRows::default(),
            warnings: Vec::new(),
            version: Some(version),
            state,
        }
    }

    fn told(
        earlier: Option<&Report>,
        status: Option<&QoeDictionaryStatus>,
        report: &Report,
    ) -> Option<&'static str> {
        news(earlier, status, report).map(|news| news.reason)
    }

    #[test]
    fn a_version_is_told_once() {
        let (seven, eight) = (report(7, State::InForce), report(8, State::InForce));
        assert_eq!(told(None, None, &seven), Some("Loaded"));
        assert_eq!(told(Some(&seven), None, &seven), None);
        assert_eq!(told(Some(&seven), None, &eight), Some("Loaded"));
        let status = QoeDictionaryStatus { version: Some("7".to_owned()), ..QoeDictionaryStatus::default() };
        assert_eq!(told(None, Some(&status), &seven), None, "after a restart");
        assert_eq!(told(None, Some(&status), &eight), Some("Loaded"));
        assert_eq!(news(None, None, &seven).unwrap().note, "version 7: 3 rows are in force");
    }

    #[test]
    fn trouble_is_told_when_it_begins() {
        let good = report(7, State::InForce);
        let bad = report(7, State::BadRows);
        let away = report(7, State::Unreachable(Unreachable { since: 1, error: "gone".to_owned() }));
        assert_eq!(told(Some(&good), None, &bad), Some("BadRows"));
        assert_eq!(told(Some(&bad), None, &bad), None);
        assert_eq!(told(Some(&bad), None, &away), Some("SourceUnreachable"));
        assert_eq!(
            told(Some(&away), None, &report(7, State::Conflict("a and b".to_owned()))),
            Some("Conflict")
        );
        assert_eq!(told(Some(&good), None, &report(7, State::WaitsFor("b".to_owned()))), None);
        assert_eq!(told(Some(&report(7, State::WaitsFor("b".to_owned()))), None, &good), None);
        // What is in force again is told again.
        assert_eq!(told(Some(&bad), None, &good), Some("Loaded"));
    }

    #[test]
    fn rows_that_are_left_out_are_a_warning() {
        let mut left_out = report(7, State::InForce);
        left_out.bad = BadRows { count: 1, first: vec![BadRow { line: 2, reason: "empty".to_owned() }] };
        let news = news(None, None, &left_out).unwrap();
        assert!(news.warning);
        assert_eq!(news.reason, "BadRows");
        assert!(news.note.contains("line 2: empty"), "{}", news.note);
    }
}
