use serde_json::Value;

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Binary, or another encoding.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A control character, which no YAML may hold.
    #[error("the character U+{:04X} is not allowed in YAML", u32::from(*.0))]
    Character(char),
    /// NEL, LS or PS: line breaks for YAML 1.1, ordinary characters for YAML 1.2.
    #[error("the character U+{:04X} ends a line for kubectl and not for other readers; write it as an escape in double quotes", u32::from(*.0))]
    LineBreak(char),
    /// Text after `---`.
    #[error("`---` is followed by {0:?}; a document starts on the next line")]
    Separator(String),
    /// A syntax error.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// A syntax error in what starts like JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Content after `...`, which kubectl would skip.
    #[error("more follows after the end of the document; separate documents by a line `---`")]
    SecondDocument,
    /// A bare word in flow style that YAML 1.1 and 1.2 cut differently.
    #[error("{0:?} within [] or {{}} is read differently by different readers; quote it")]
    Flow(String),
    /// An escape of JSON in what is read as YAML.
    #[error("kubectl does not know the escape {0} in YAML; write the character itself")]
    Escape(String),
    /// A tab in the indentation.
    #[error("a tab is used for indentation")]
    Tab,
    /// A tag kubectl drops or misreads.
    #[error("the tag {0:?} is not supported")]
    Tag(String),
    /// A value that is not of the type its tag names.
    #[error("{text:?} is not of the type {tag:?}")]
    TagMismatch {
        /// The tag.
        tag: String,
        /// The value as written.
        text: String,
    },
    /// Not a number JSON can hold.
    #[error("the number {0} cannot be represented")]
    Number(String),
    /// `!!binary` that is not base64 of UTF-8 text.
    #[error("a !!binary value is not base64 of UTF-8 text")]
    Binary,
    /// `<<` whose value is not a mapping or a sequence of mappings.
    #[error("the value of << is not a mapping or a sequence of mappings")]
    Merge,
    /// A key before `<<` that the merge would replace in kubectl, and would not in other readers.
    #[error("the key {0:?} stands before << and again in what is merged; put << first")]
    MergeOrder(String),
    /// A bare key that kubectl renames.
    #[error("kubectl reads the key {written} as {read:?}; quote it")]
    Key {
        /// The key as written.
        written: String,
        /// What kubectl makes of it.
        read: String,
    },
    /// A key that is null, a mapping, a sequence, or an alias.
    #[error("a key is not a string")]
    KeyNotString,
    /// The same key twice in a mapping.
    #[error("the key {0:?} is given twice")]
    DuplicateKey(String),
    /// Aliases that expand to more than is reasonable.
    #[error("aliases expand to too much")]
    Aliases,
    /// An alias within what it stands for.
    #[error("an alias is used within what it stands for")]
    AliasInItself,
    /// Nesting beyond the limit.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A file beyond the limit.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A scalar or a sequence.
    #[error("{0}, not an object")]
    NotAnObject(&'static str),
    /// A field every object needs is missing or empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that has to be text is not.
    #[error("{0} is not a string")]
    NotText(&'static str),
    /// A field whose value the API server would not take.
    #[error("{field} {value:?} is not valid")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// An object whose name the API server would make up.
    #[error("metadata.generateName is not supported: an object needs a name to be found again")]
    GenerateName,
    /// `items` that are no list of objects.
    #[error("items of a list are not a sequence")]
    Items,
    /// `items` in an object that is no list; kubectl takes it for one.
    #[error("kubectl takes an object with items for a list, but the kind {0:?} does not end in List")]
    ItemsOfNoList(String),
    /// An input of kustomize.
    #[error(
        "a kustomization, which is an input of kustomize and not an object to apply; name its folder itself to have it rendered"
    )]
    Kustomization,
}

impl Problem {
    /// True for what JSON and YAML agree on, so that reading the same text as YAML would not help.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::DuplicateKey(_) | Self::TooDeep { .. } | Self::Number(_))
    }

    /// The same, or a better explanation if the file is known by its name or its fields.
    pub(super) fn in_file(self, file: &str, value: &Value) -> Self {
        let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let named = matches!(base, "kustomization.yaml" | "kustomization.yml" | "Kustomization");
        let shaped = ["resources", "bases", "components", "patches"].iter().any(|f| value[*f].is_array());
        match self {
            Self::Missing("kind" | "apiVersion") if value.get("kind").is_none() && (named || shaped) => {
                Self::Kustomization
            }
            other => other,
        }
    }
}
