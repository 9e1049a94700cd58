//! What a dictionary is: the fields of its lines, which of them make a line unique, and how ClickHouse holds it.
//! From this one declaration come the parser's checks, the table of its versions, the ClickHouse dictionary that
//! stands on it and the reference page. Pure: nothing is read or sent here.

use crate::hash::hash_of;
use crate::owner::owned_comment;
use crate::sql::{identifier, literal, qualified};
use crate::table::{MERGE_TREE, Table, TableColumn, insert_settings};

/// The table that says which version of each dictionary is current, see [`dictionary_versions`].
pub const DICTIONARY_VERSIONS: &str = "dictionary_versions";

/// What a field of a line may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// An IPv4 or IPv6 address or prefix; kept as a prefix, `10.0.0.0/24`.
    Prefix,
    /// A host's name, kept in lower case.
    Host,
    /// A number of at most 2 bytes.
    UInt16,
    /// A number of at most 4 bytes.
    UInt32,
    /// A number of at most 8 bytes.
    UInt64,
    /// 0 or 1.
    Flag,
    /// Any text.
    Text,
}

impl FieldType {
    /// The column's type in the table of versions.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Prefix | Self::Host | Self::Text => "String",
            Self::UInt16 => "UInt16",
            Self::UInt32 => "UInt32",
            Self::UInt64 => "UInt64",
            Self::Flag => "UInt8",
        }
    }

    /// What it may hold, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefix => "address or prefix",
            Self::Host => "host",
            Self::UInt16 => "number up to 65535",
            Self::UInt32 => "number up to 4294967295",
            Self::UInt64 => "number up to 18446744073709551615",
            Self::Flag => "0 or 1",
            Self::Text => "text",
        }
    }

    /// Whether an empty field is its type's default instead of a mistake.
    pub fn may_be_empty(self) -> bool {
        matches!(self, Self::Text | Self::Flag)
    }
}

/// One field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldDecl {
    /// Name of the column and of the dictionary's attribute.
    pub name: &'static str,
    /// What it may hold.
    pub field_type: FieldType,
    /// What it means, one line.
    pub comment: &'static str,
}

/// How ClickHouse holds a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By one number: `dictGet(d, a, number)`.
    Hashed,
    /// By several fields or a text: `dictGet(d, a, tuple(...))`.
    ComplexKeyHashed,
    /// By the longest prefix that an address lies in: `dictGet(d, a, address)`.
    IpTrie,
}

impl Layout {
    fn sql(self) -> &'static str {
        match self {
            Self::Hashed => "HASHED()",
            Self::ComplexKeyHashed => "COMPLEX_KEY_HASHED()",
            Self::IpTrie => "IP_TRIE()",
        }
    }
}

/// A dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Dictionary {
    /// Its name without `_dic`: `subnets_local`.
    pub name: &'static str,
    /// What a line is about.
    pub comment: &'static str,
    /// The fields of a line, in order.
    pub fields: &'static [FieldDecl],
    /// How many of the first fields make a line unique.
    pub key: usize,
    /// How ClickHouse holds it.
    pub layout: Layout,
    /// The field that names a line's parent by its key; the lines are trees.
    pub parent: Option<&'static str>,
}

/// Who a ClickHouse dictionary logs in as to read its table.
#[derive(Clone, Copy)]
pub struct DictionaryLogin<'a> {
    /// The user.
    pub user: &'a str,
    /// The password; it is part of the definition, which the server hides.
    pub password: &'a str,
}

impl Dictionary {
    /// Name of the ClickHouse dictionary.
    pub fn dictionary_name(&self) -> String {
        format!("{}_dic", self.name)
    }

    /// Name of the table with the rows of its versions.
    pub fn rows_name(&self) -> String {
        format!("{}_rows", self.name)
    }

    /// The fields that make a line unique.
    pub fn key_fields(&self) -> &'static [FieldDecl] {
        self.fields.get(..self.key).unwrap_or(self.fields)
    }

    /// The table with the rows of its versions, one partition each.
    pub fn rows_table(&self, database: &str) -> Table {
        let mut columns = vec![
            column("version", "UInt32", "the version that the row belongs to, see dictionary_versions"),
            column("dpis", "Array(UInt16)", "the DPIs that the row is limited to; none: all"),
        ];
        columns.extend(
            self.fields.iter().map(|field| column(field.name, field.field_type.sql(), field.comment)),
        );
        Table {
            database: database.to_owned(),
            name: self.rows_name(),
            engine: MERGE_TREE,
            columns,
            indices: Vec::new(),
            partition_by: "version".to_owned(),
            order_by: self.key_fields().iter().map(|field| field.name.to_owned()).collect(),
            ttl: String::new(),
            settings: insert_settings(),
            comment: owned_comment(&format!("{}: the newest versions", self.comment)),
            is_shared: false,
        }
    }

    /// The statement that inserts rows of a version; its body is TabSeparated: version, dpis and the fields.
    pub fn insert_sql(&self, database: &str) -> String {
        let mut names = vec!["version".to_owned(), "dpis".to_owned()];
        names.extend(self.fields.iter().map(|field| identifier(field.name)));
        let table = qualified(database, &self.rows_name());
        format!("INSERT INTO {table} ({}) FORMAT TabSeparated", names.join(", "))
    }

    /// The statement that makes the ClickHouse dictionary, or makes it anew. It reads its newest version and can
    /// be asked at any time, also before there is one.
    pub fn create_sql(&self, database: &str, login: DictionaryLogin<'_>) -> String {
        let comment = self.comment(database, login.user);
        format!("{}\nCOMMENT {}", self.definition(database, login), literal(&comment))
    }

    fn definition(&self, database: &str, login: DictionaryLogin<'_>) -> String {
        let attributes: Vec<String> = self.fields.iter().map(|field| self.attribute(field)).collect();
        let names = |fields: &[FieldDecl]| -> String {
            fields.iter().map(|field| identifier(field.name)).collect::<Vec<_>>().join(", ")
        };
        let newest = format!(
            "SELECT max(version) FROM {} WHERE dictionary = {}",
            qualified(database, DICTIONARY_VERSIONS),
            literal(self.name)
        );
        let query = format!(
            "SELECT {} FROM {} WHERE version = ({newest})",
            names(self.fields),
            qualified(database, &self.rows_name())
        );
        format!(
            "CREATE OR REPLACE DICTIONARY {}\n(\n    {}\n)\nPRIMARY KEY {}\nSOURCE(CLICKHOUSE(USER {} PASSWORD {} QUERY {} \
             INVALIDATE_QUERY {}))\nLAYOUT({})\nLIFETIME(MIN 5 MAX 10)",
            qualified(database, &self.dictionary_name()),
            attributes.join(",\n    "),
            names(self.key_fields()),
            literal(login.user),
            literal(login.password),
            literal(&query),
            literal(&newest),
            self.layout.sql(),
        )
    }

    /// The comment of the ClickHouse dictionary of this login: another text means another definition. The
    /// password is no part of it.
    pub fn comment(&self, database: &str, user: &str) -> String {
        let definition = self.definition(database, DictionaryLogin { user, password: "" });
        let hash = hash_of(definition.as_bytes());
        owned_comment(&format!("{}; definition={}", self.comment, hash.get(..15).unwrap_or(&hash)))
    }

    fn attribute(&self, field: &FieldDecl) -> String {
        let name = identifier(field.name);
        // A simple key is always 8 bytes.
        let is_key = self.key_fields().iter().any(|key| key.name == field.name);
        let sql_type = match (self.layout, is_key) {
            (Layout::Hashed, true) => "UInt64",
            _ => field.field_type.sql(),
        };
        if is_key {
            return format!("{name} {sql_type}");
        }
        let default = if sql_type == "String" { "''" } else { "0" };
        let parent = if self.parent == Some(field.name) { " HIERARCHICAL" } else { "" };
        format!("{name} {sql_type} DEFAULT {default}{parent}")
    }
}

/// The table with one row for each version of each dictionary that became current. A version is current when
/// its row is there and no newer one is.
pub fn dictionary_versions(database: &str) -> Table {
    Table {
        database: database.to_owned(),
        name: DICTIONARY_VERSIONS.to_owned(),
        engine: MERGE_TREE,
        columns: vec![
            column("version", "UInt32", "number of the version, counted over all dictionaries"),
            column("dictionary", "LowCardinality(String)", "the dictionary, without _dic"),
            column("loaded_at", "DateTime('UTC')", "when it became current"),
            column("rows", "UInt64", "rows of the version"),
            column("bad_rows", "UInt64", "lines that were wrong and are left out"),
            column("content", "String", "hash of the sources' contents"),
            column("sources", "Array(String)", "names of the QoeDictionary objects it was made from"),
        ],
        indices: Vec::new(),
        partition_by: String::new(),
        order_by: vec!["dictionary".to_owned(), "version".to_owned()],
        ttl: String::new(),
        settings: insert_settings(),
        comment: owned_comment("one row for each version of a dictionary, the newest of each is in force"),
        is_shared: false,
    }
}

fn column(name: &str, sql_type: &str, comment: &str) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        sql_type: sql_type.to_owned(),
        alias: None,
        codec: String::new(),
        comment: comment.to_owned(),
    }
}
