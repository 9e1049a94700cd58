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
        let known = collectors.state();
        let uids: HashSet<String> =
            known.iter().filter_map(|collector| collector.meta().uid.clone()).collect();
        context.loaders.retain(|uid| uids.contains(uid));
        context.book.retain(|uid| uids.contains(uid));
        context.retain_tables(|uid| uids.contains(uid));
        let is_there = |namespace: &str, name: &str| {
            known.iter().map(|collector| collector.meta()).any(|meta| {
                meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
            })
        };
        let numbers = &context.metrics.collectors;
        numbers.retain_dpis(|labels| is_there(&labels.namespace, &labels.collector));
        numbers.retain_servers(|labels| is_there(&labels.namespace, &labels.collector));
        let there: BTreeSet<DictionaryLabels> =
            dictionaries.state().iter().map(|dictionary| DictionaryLabels::of(dictionary.meta())).collect();
        for gone in counted.difference(&there) {
            context.metrics.forget_dictionary(gone);
        }
        counted = there;
        tokio::time::sleep(EVERY).await;
    }
}
