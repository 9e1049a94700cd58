//! Whose a database is: its comment starts with the owner mark and ends with the collector that it belongs
//! to. Only text is read and made here; a comment that somebody else wrote must never pass for ours.

/// The mark that every database and table of ours carries as the start of its comment. What does not carry
/// it was made by somebody else.
pub const OWNER_MARK: &str = "qoeplane";

/// Between the comment's text and the collector.
const COLLECTOR: &str = "; collector=";

/// A comment with the owner mark.
pub fn owned_comment(text: &str) -> String {
    format!("{OWNER_MARK}: {text}")
}

/// Whether a database or table with this comment was made by us.
pub fn is_ours(comment: &str) -> bool {
    comment.strip_prefix(OWNER_MARK).is_some_and(|rest| rest.starts_with(':'))
}

/// The comment of a database that belongs to `collector`; without one it belongs to the first that comes.
pub fn database_comment(collector: Option<&str>) -> String {
    let comment = owned_comment("flow records of DPIs; tables here are made and changed by qoeplane");
    match collector {
        Some(collector) => format!("{comment}{COLLECTOR}{collector}"),
        None => comment,
    }
}

/// The collector that a database with this comment belongs to. `None`: to nobody yet (version 0.1.0 named no
/// collector), or it is not ours.
pub fn collector_of(comment: &str) -> Option<&str> {
    if !is_ours(comment) {
        return None;
    }
    comment.rsplit_once(COLLECTOR).map(|(_, collector)| collector)
}

/// The identity of a collector on Kubernetes. A deleted object that is made again is the same collector.
pub fn on_kubernetes(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The identity of a part of a collector's rows: a database that holds another part is not taken for it when
/// addresses of servers change places.
pub fn of_shard(collector: &str, shard: u32) -> String {
    if shard == 0 { collector.to_owned() } else { format!("{collector}#{shard}") }
}

/// The identity of a collector that `qoe up` runs.
pub fn standalone(name: &str) -> String {
    format!("standalone/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_found_in_its_own_comment_only() {
        let identity = on_kubernetes("isp", "main");
        assert_eq!(collector_of(&database_comment(Some(&identity))), Some("isp/main"));
        assert_eq!(collector_of(&database_comment(None)), None);
        assert_eq!(collector_of("somebody's; collector=isp/main"), None);
        assert!(is_ours("qoeplane: tables"));
        assert!(!is_ours("qoeplanet: tables"));
        assert!(!is_ours(""));
    }
}
