//! Which fullflow records become rows of natflow: those with an address after translation. The only place where
//! enrichment drops rows, of a second block that is made of the same records; how many is counted.

use std::sync::LazyLock;

use ipfix::Column;

static POST_NAT_SOURCE: LazyLock<Option<usize>> = LazyLock::new(|| {
    schema::nat_from_fullflow().inserted_columns().position(|column| column.name == "post_nat_source_ipv4")
});

/// Drops the rows of `schema::nat_from_fullflow` whose address after translation is 0, which is what a record
/// without one has. The answer is how many were dropped.
pub fn keep_translated(columns: &mut [Column]) -> u64 {
    let Some(Column::U32(addresses)) = POST_NAT_SOURCE.and_then(|place| columns.get(place)) else { return 0 };
    let keep: Vec<bool> = addresses.iter().map(|&address| address != 0).collect();
    let dropped = keep.iter().filter(|keep| !**keep).count();
    if dropped > 0 {
        columns.iter_mut().for_each(|column| column.retain(&keep));
    }
    dropped as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_translation_go() {
        let stream = schema::nat_from_fullflow();
        let mut columns = stream.new_columns();
        columns.iter_mut().for_each(|column| column.push_defaults(4));
        let at = |name: &str| stream.inserted_columns().position(|column| column.name == name).unwrap();
        columns[at("post_nat_source_ipv4")] = Column::U32(vec![0, 5, 0, 6]);
        columns[at("source_port")] = Column::U16(vec![1, 2, 3, 4]);
        assert_eq!(keep_translated(&mut columns), 2);
        assert!(columns.iter().all(|column| column.len() == 2));
        assert_eq!(columns[at("post_nat_source_ipv4")], Column::U32(vec![5, 6]));
        assert_eq!(columns[at("source_port")], Column::U16(vec![2, 4]));
        assert_eq!(keep_translated(&mut columns), 0);
        assert_eq!(columns[0].len(), 2);
    }
}
