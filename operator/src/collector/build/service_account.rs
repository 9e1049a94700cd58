//! The account of a receiver's pod. It has no rights and its token is not mounted: a receiver never talks
//! to the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Receiver;

pub(super) fn build(receiver: &Receiver<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: receiver.metadata(),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
