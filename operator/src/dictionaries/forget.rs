//! Forgets what deleted objects have left behind: loaders with the contents of their sources, reports, numbers.
//! A deleted object has no reconcile of its own.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use kube::Resource;
use kube::runtime::reflector::Store;

use crate::context::Context;
use crate::controllers::{GuardedCollector, GuardedDictionary};
use crate::metrics::DictionaryLabels;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);

/// Goes on for ever; the stores are filled.
pub async fn forget_what_is_gone(
    context: &Context,
    collectors: Store<GuardedCollector>,
    dictionaries: Store<GuardedDictionary>,
) {
    let mut counted: BTreeSet<DictionaryLabels> = BTreeSet::new();
    loop {
        let collectors: HashSet<String> =
            collectors.state().iter().filter_map(|collector| collector.meta().uid.clone()).collect();
        context.loaders.retain(|uid| collectors.contains(uid));
        context.book.retain(|uid| collectors.contains(uid));
        let there: BTreeSet<DictionaryLabels> =
            dictionaries.state().iter().map(|dictionary| DictionaryLabels::of(dictionary.meta())).collect();
        for gone in counted.difference(&there) {
            context.metrics.forget_dictionary(gone);
        }
        counted = there;
        tokio::time::sleep(EVERY).await;
    }
}
