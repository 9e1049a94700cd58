//! One requirement of a node affinity, compared as the scheduler compares it, and in words. Pure.

use k8s_openapi::api::core::v1::NodeSelectorRequirement;

use super::super::build::{CPU_FEATURE_LABEL_PREFIX, NIC_SPEED_LABEL};

/// What a node with this value of the requirement's label lacks; `None` if it lacks nothing.
pub(super) fn missing(requirement: &NodeSelectorRequirement, value: Option<&String>) -> Option<String> {
    if is_met(requirement, value) {
        return None;
    }
    let NodeSelectorRequirement { key, operator, values } = requirement;
    let wanted = values.as_deref().unwrap_or_default();
    if let Some(feature) = key.strip_prefix(CPU_FEATURE_LABEL_PREFIX) {
        return Some(format!("lacks cpu feature {feature}"));
    }
    if key == NIC_SPEED_LABEL
        && operator == "Gt"
        && let Some(bound) = number(wanted.first())
    {
        let wanted = bound.saturating_add(1);
        return Some(match value {
            Some(speed) => format!("has a {speed} Mbit/s network card ({wanted} wanted)"),
            None => format!("lacks label {key} (a network card of {wanted} Mbit/s is wanted)"),
        });
    }
    let has = match value {
        Some(value) => format!("has label {key}={value}"),
        None => format!("lacks label {key}"),
    };
    let wanted = wanted.join(" or ");
    Some(match operator.as_str() {
        "In" => format!("{has} ({wanted} wanted)"),
        "NotIn" => format!("{has} (not {wanted} wanted)"),
        "Exists" => has,
        "DoesNotExist" => format!("{has} (none wanted)"),
        "Gt" => format!("{has} (more than {wanted} wanted)"),
        "Lt" => format!("{has} (less than {wanted} wanted)"),
        other => format!("{has} ({other} {wanted} wanted)"),
    })
}

fn is_met(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let wanted = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| wanted.contains(value)),
        "NotIn" => value.is_none_or(|value| !wanted.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(number(wanted.first())).is_some_and(|(value, bound)| value > bound),
        "Lt" => number(value).zip(number(wanted.first())).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn number(text: Option<&String>) -> Option<i64> {
    text?.parse().ok()
}
