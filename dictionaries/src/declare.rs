//! Which declaration belongs to which type of `QoeDictionary`, and the types by their names. Nothing else.

use crds::dictionary::DictionaryType;
use schema::Dictionary;
use schema::dictionaries as declared;

/// Every type, in the order of the documentation.
pub const TYPES: [DictionaryType; 12] = [
    DictionaryType::AsnumLocal,
    DictionaryType::SubnetsLocal,
    DictionaryType::AsnumExclude,
    DictionaryType::SubnetsExclude,
    DictionaryType::Subscribers,
    DictionaryType::Switches,
    DictionaryType::Crc,
    DictionaryType::Urlcats,
    DictionaryType::UrlcatsHost,
    DictionaryType::VchannelName,
    DictionaryType::Protocols,
    DictionaryType::Asnum,
];

/// What the lines of a type look like.
pub fn declaration(dictionary_type: DictionaryType) -> &'static Dictionary {
    match dictionary_type {
        DictionaryType::AsnumLocal => &declared::ASNUM_LOCAL,
        DictionaryType::SubnetsLocal => &declared::SUBNETS_LOCAL,
        DictionaryType::AsnumExclude => &declared::ASNUM_EXCLUDE,
        DictionaryType::SubnetsExclude => &declared::SUBNETS_EXCLUDE,
        DictionaryType::Subscribers => &declared::SUBSCRIBERS,
        DictionaryType::Switches => &declared::SWITCHES,
        DictionaryType::Crc => &declared::CRC,
        DictionaryType::Urlcats => &declared::URLCATS,
        DictionaryType::UrlcatsHost => &declared::URLCATS_HOST,
        DictionaryType::VchannelName => &declared::VCHANNEL_NAME,
        DictionaryType::Protocols => &declared::PROTOCOLS,
        DictionaryType::Asnum => &declared::ASNUM,
    }
}

/// The type's name in YAML.
pub fn type_name(dictionary_type: DictionaryType) -> &'static str {
    match dictionary_type {
        DictionaryType::AsnumLocal => "AsnumLocal",
        DictionaryType::SubnetsLocal => "SubnetsLocal",
        DictionaryType::AsnumExclude => "AsnumExclude",
        DictionaryType::SubnetsExclude => "SubnetsExclude",
        DictionaryType::Subscribers => "Subscribers",
        DictionaryType::Switches => "Switches",
        DictionaryType::Crc => "Crc",
        DictionaryType::Urlcats => "Urlcats",
        DictionaryType::UrlcatsHost => "UrlcatsHost",
        DictionaryType::VchannelName => "VchannelName",
        DictionaryType::Protocols => "Protocols",
        DictionaryType::Asnum => "Asnum",
    }
}

/// The type that is meant by a name: as in YAML, in any case (`subnetslocal`), or as ClickHouse and the files
/// call it (`subnets_local`, `subnets_local_dic`).
pub fn type_named(name: &str) -> Option<DictionaryType> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_suffix("_dic").unwrap_or(&lower).replace('_', "");
    TYPES.into_iter().find(|dictionary_type| type_name(*dictionary_type).to_ascii_lowercase() == bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dictionary_has_a_type() {
        let by_type: Vec<&str> = TYPES.into_iter().map(|each| declaration(each).name).collect();
        let declared: Vec<&str> = declared::all().iter().map(|dictionary| dictionary.name).collect();
        assert_eq!(by_type, declared);
    }

    #[test]
    fn a_type_is_found_by_each_of_its_names() {
        for dictionary_type in TYPES {
            let in_yaml = serde_json::to_value(dictionary_type).unwrap();
            assert_eq!(in_yaml.as_str(), Some(type_name(dictionary_type)));
            let dictionary = declaration(dictionary_type);
            for name in [
                type_name(dictionary_type).to_string(),
                type_name(dictionary_type).to_uppercase(),
                dictionary.name.to_string(),
                dictionary.dictionary_name(),
            ] {
                assert_eq!(type_named(&name), Some(dictionary_type), "{name}");
            }
        }
        for name in ["", "_dic", "subnets", "subnets_local_dic.txt"] {
            assert_eq!(type_named(name), None, "{name}");
        }
    }
}
