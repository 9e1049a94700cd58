//! Which CPU features are there, by the names that node-feature-discovery gives them. Only looks; what to do
//! about a missing one is the configuration's business.

use std::fs;

use crds::collector::NodePolicy;

/// A name that is none of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("cpu_features: {name:?} is not a CPU feature that can be checked: {known}")]
pub struct UnknownFeature {
    name: String,
    known: String,
}

macro_rules! features {
    ($($name:literal => $feature:tt,)*) => {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        const FEATURES: &[(&str, fn() -> bool)] =
            &[$(($name, || std::arch::is_x86_feature_detected!($feature)),)*];
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        const FEATURES: &[(&str, fn() -> bool)] = &[$(($name, || false),)*];
    };
}

features! {
    "ADX" => "adx",
    "AESNI" => "aes",
    "AVX" => "avx",
    "AVX2" => "avx2",
    "AVX512BITALG" => "avx512bitalg",
    "AVX512BW" => "avx512bw",
    "AVX512CD" => "avx512cd",
    "AVX512DQ" => "avx512dq",
    "AVX512F" => "avx512f",
    "AVX512IFMA" => "avx512ifma",
    "AVX512VBMI" => "avx512vbmi",
    "AVX512VBMI2" => "avx512vbmi2",
    "AVX512VL" => "avx512vl",
    "AVX512VNNI" => "avx512vnni",
    "AVX512VPOPCNTDQ" => "avx512vpopcntdq",
    "BMI1" => "bmi1",
    "BMI2" => "bmi2",
    "CLMUL" => "pclmulqdq",
    "F16C" => "f16c",
    "FMA3" => "fma",
    "GFNI" => "gfni",
    "LZCNT" => "lzcnt",
    "MOVBE" => "movbe",
    "POPCNT" => "popcnt",
    "RDRAND" => "rdrand",
    "RDSEED" => "rdseed",
    "SHA" => "sha",
    "SSE" => "sse",
    "SSE2" => "sse2",
    "SSE3" => "sse3",
    "SSE4" => "sse4.1",
    "SSE42" => "sse4.2",
    "SSE4A" => "sse4a",
    "SSSE3" => "ssse3",
    "VAES" => "vaes",
    "VPCLMULQDQ" => "vpclmulqdq",
}

/// Those of `wanted` that this CPU lacks, in their order. With [`NodePolicy::Require`] a name that is not known
/// is an error; else it counts as missing: a wish must not keep a receiver from running.
///
/// # Errors
/// A name that is not known; the error lists those that are.
pub fn missing(wanted: &[String], policy: NodePolicy) -> Result<Vec<String>, UnknownFeature> {
    let mut missing = Vec::new();
    for name in wanted {
        let Some((_, is_there)) = FEATURES.iter().find(|(known, _)| known == name) else {
            if policy != NodePolicy::Require {
                missing.push(name.clone());
                continue;
            }
            let known: Vec<&str> = FEATURES.iter().map(|(known, _)| *known).collect();
            return Err(UnknownFeature { name: name.clone(), known: known.join(", ") });
        };
        if !is_there() {
            missing.push(name.clone());
        }
    }
    Ok(missing)
}

/// What the CPU calls itself.
pub fn model() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_string())
    });
    told.unwrap_or_else(|| format!("this {} CPU", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_is_an_error_that_lists_the_others() {
        let error = missing(&["AVX2".to_string(), "sse4.2".to_string()], NodePolicy::Require).unwrap_err();
        let text = error.to_string();
        assert_eq!(missing(&["AMXFP16".to_string()], NodePolicy::Prefer).unwrap(), ["AMXFP16"]);
        assert!(text.contains("\"sse4.2\"") && text.contains("AVX512F") && text.contains("SSE42"), "{text}");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_kernel_says_the_same() {
        assert_eq!(missing(&["SSE".to_string(), "SSE2".to_string()], NodePolicy::Require), Ok(Vec::new()));
        let all: Vec<String> = FEATURES.iter().map(|(name, _)| (*name).to_string()).collect();
        let flags = fs::read_to_string("/proc/cpuinfo").unwrap();
        let missing = missing(&all, NodePolicy::Require).unwrap();
        for (name, flag) in
            [("AVX2", " avx2"), ("AVX512F", " avx512f"), ("SSE4A", " sse4a"), ("BMI2", " bmi2")]
        {
            assert_eq!(missing.iter().any(|other| other == name), !flags.contains(flag), "{name}");
        }
    }

    #[test]
    fn the_cpu_has_a_name() {
        assert!(!model().is_empty());
    }
}
