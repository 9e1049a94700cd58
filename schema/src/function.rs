//! SQL functions that ship with the tables. A function belongs to the whole server, so it is made where there is none of
//! its name and never changed: another text would need another name, or two collectors would take turns.

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Parameters and expression.
    pub lambda: &'static str,
}

impl Function {
    /// The statement that makes it.
    pub fn create_sql(&self) -> String {
        format!("CREATE FUNCTION IF NOT EXISTS {} AS {}", self.name, self.lambda)
    }
}

/// `qoe_rtt_quantile(histogram, level)`: the middle of the bucket that holds the value at this level (0 to 1), in
/// microseconds; NULL if the histogram is empty. Buckets are those of [`crate::aggregate::bucket`], so the answer is at
/// most 6 % off.
pub const RTT_QUANTILE: Function = Function {
    name: "qoe_rtt_quantile",
    lambda: "(histogram, level) -> if(empty(mapKeys(histogram)), NULL, arrayMap(bucket -> (1 + (bucket % 8) / 8 + 1 / 16) \
             * exp2(intDiv(bucket, 8)), [arrayFirst((bucket, reached) -> reached >= level * arraySum(mapValues(histogram)), \
             arraySort(mapKeys(histogram)), arrayCumSum(arraySort((count, bucket) -> bucket, mapValues(histogram), \
             mapKeys(histogram))))])[1])",
};
