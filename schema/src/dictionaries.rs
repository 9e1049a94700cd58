//! The dictionaries, in the order of the documentation: the files' columns of the product that Qoeplane replaces,
//! under names for SQL. Nothing clever here: a field is a line.

use crate::dictionary::FieldType::{Flag, Host, Prefix, Text, UInt16, UInt32, UInt64};
use crate::dictionary::{Dictionary, FieldDecl, FieldType, Layout};

const fn field(name: &'static str, field_type: FieldType, comment: &'static str) -> FieldDecl {
    FieldDecl { name, field_type, comment }
}

const AS: &[FieldDecl] = &[field("asn", UInt32, "AS number"), field("name", Text, "its name")];
const PREFIX: &[FieldDecl] =
    &[field("prefix", Prefix, "address or prefix"), field("name", Text, "its name, not shown in reports")];

/// Our own AS numbers.
pub static ASNUM_LOCAL: Dictionary = Dictionary {
    name: "asnum_local",
    comment: "our own AS numbers",
    fields: AS,
    key: 1,
    layout: Layout::Hashed,
    parent: None,
};

/// Our own networks.
pub static SUBNETS_LOCAL: Dictionary = Dictionary {
    name: "subnets_local",
    comment: "our own networks",
    fields: PREFIX,
    key: 1,
    layout: Layout::IpTrie,
    parent: None,
};

/// AS numbers that aggregates leave out.
pub static ASNUM_EXCLUDE: Dictionary = Dictionary {
    name: "asnum_exclude",
    comment: "AS numbers that aggregates leave out",
    fields: AS,
    key: 1,
    layout: Layout::Hashed,
    parent: None,
};

/// Networks that aggregates leave out.
pub static SUBNETS_EXCLUDE: Dictionary = Dictionary {
    name: "subnets_exclude",
    comment: "networks that aggregates leave out",
    fields: PREFIX,
    key: 1,
    layout: Layout::IpTrie,
    parent: None,
};

/// Subscribers by address.
pub static SUBSCRIBERS: Dictionary = Dictionary {
    name: "subscribers",
    comment: "subscribers by address",
    fields: &[
        field("address", Prefix, "the subscriber's address, or the prefix that is delegated to it"),
        field("login", Text, "login"),
        field("switch_id", UInt64, "the access switch, see switches_dic"),
        field("switch_port", Text, "port of the access switch"),
        field("vendor", Text, "vendor of the subscriber's device"),
        field("cable", Text, "cable"),
        field("contract", Text, "contract"),
        field("services", Text, "services"),
        field("mac", Text, "MAC address of the subscriber's device"),
    ],
    key: 1,
    layout: Layout::IpTrie,
    parent: None,
};

/// Access and trunk switches, a tree.
pub static SWITCHES: Dictionary = Dictionary {
    name: "switches",
    comment: "access and trunk switches, each with the one it is connected to",
    fields: &[
        field("id", UInt64, "the switch"),
        field("name", Text, "its name"),
        field("type", Text, "its type"),
        field("region", Text, "region"),
        field("address", Text, "postal address"),
        field("ip", Text, "its IP address"),
        field("isp", Text, "internet provider"),
        field("is_trunk", Flag, "1 for a trunk switch"),
        field("upstream_id", UInt64, "the switch it is connected to; 0: none"),
        field("upstream_port", Text, "port of that switch"),
        field("owner", Text, "owner"),
    ],
    key: 1,
    layout: Layout::Hashed,
    parent: Some("upstream_id"),
};

/// CRC errors of switch ports.
pub static CRC: Dictionary = Dictionary {
    name: "crc",
    comment: "CRC errors of switch ports",
    fields: &[
        field("switch_id", UInt64, "the switch"),
        field("switch_port", Text, "its port"),
        field("crc", UInt64, "errors"),
    ],
    key: 2,
    layout: Layout::ComplexKeyHashed,
    parent: None,
};

/// Names of host categories.
pub static URLCATS: Dictionary = Dictionary {
    name: "urlcats",
    comment: "names of host categories",
    fields: &[field("category", UInt16, "number of the category"), field("name", Text, "its name")],
    key: 1,
    layout: Layout::Hashed,
    parent: None,
};

/// Categories of hosts.
pub static URLCATS_HOST: Dictionary = Dictionary {
    name: "urlcats_host",
    comment: "categories of hosts",
    fields: &[
        field("host", Host, "host or domain"),
        field("category", UInt16, "number of its category, see urlcats_dic"),
    ],
    key: 1,
    layout: Layout::ComplexKeyHashed,
    parent: None,
};

/// Names of channels.
pub static VCHANNEL_NAME: Dictionary = Dictionary {
    name: "vchannel_name",
    comment: "names of bridges and virtual channels",
    fields: &[field("channel", UInt16, "bridge or virtual channel"), field("name", Text, "its name")],
    key: 1,
    layout: Layout::Hashed,
    parent: None,
};

/// Names of the DPI's protocols.
pub static PROTOCOLS: Dictionary = Dictionary {
    name: "protocols",
    comment: "names of the DPI's protocols",
    fields: &[field("code", UInt16, "the DPI's number of the protocol"), field("name", Text, "its name")],
    key: 1,
    layout: Layout::Hashed,
    parent: None,
};

/// Names of AS numbers.
pub static ASNUM: Dictionary = Dictionary {
    name: "asnum",
    comment: "names of AS numbers",
    fields: AS,
    key: 1,
    layout: Layout::Hashed,
    parent: None,
};

/// Every dictionary.
pub fn all() -> [&'static Dictionary; 12] {
    [
        &ASNUM_LOCAL,
        &SUBNETS_LOCAL,
        &ASNUM_EXCLUDE,
        &SUBNETS_EXCLUDE,
        &SUBSCRIBERS,
        &SWITCHES,
        &CRC,
        &URLCATS,
        &URLCATS_HOST,
        &VCHANNEL_NAME,
        &PROTOCOLS,
        &ASNUM,
    ]
}
