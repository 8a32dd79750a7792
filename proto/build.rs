//! Generates the control API from the `.proto` files in pure Rust: no `protoc` is needed on the machine.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

use protox::prost_reflect::{DescriptorPool, EnumDescriptor, EnumValueDescriptor};

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "activity",
        "attempt",
        "audit",
        "company",
        "connector",
        "delivery",
        "failure",
        "flow",
        "form",
        "integration",
        "job",
        "lead",
        "notice",
        "system",
        "token",
    ]
    .map(|name| format!("leadline/control/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=leadline");
    let mut compiler = protox::Compiler::new(["."])?;
    let compiled = compiler.include_imports(true).open_files(files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection serves the descriptors, and the daemon reads its rules in them: here they keep options of our own, which
    // the types that code is generated from do not know.
    fs::write(out.join("control.bin"), compiled.encode_file_descriptor_set())?;
    fs::write(out.join("words.rs"), words(&compiled.descriptor_pool())?)?;
    let descriptors = compiled.file_descriptor_set();
    tonic_prost_build::configure()
        .boxed(".leadline.control.v1.Activity.what.attempt")
        .compile_fds(descriptors)?;
    Ok(())
}

/// The word of each value of each enum, and back: commands, documents and the database know them by these.
fn words(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for said in pool.all_enums().filter(|it| it.package_name() == "leadline.control.v1") {
        let name = said.name();
        let (mut all, mut arms) = (String::new(), String::new());
        for value in said.values().filter(|value| value.number() != 0) {
            let (variant, word) = (variant(&said, &value), word(pool, &said, &value)?);
            write!(all, "Self::{variant}, ")?;
            writeln!(arms, "            Self::{variant} => {word:?},")?;
        }
        writeln!(
            code,
            "impl {name} {{
    /// Every value that says something.
    pub const ALL: &'static [Self] = &[{all}];

    /// Its word; the empty one for what says nothing.
    #[must_use]
    pub const fn word(self) -> &'static str {{
        match self {{
            Self::Unspecified => \"\",
{arms}        }}
    }}

    /// The value of a word, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {{
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }}
}}
"
        )?;
    }
    Ok(code)
}

/// What the value is called in Rust: `HALF_OPEN` of `BreakerState` is `HalfOpen`.
fn variant(said: &EnumDescriptor, value: &EnumValueDescriptor) -> String {
    let parts = bare(said, value).split('_').map(str::to_owned).collect::<Vec<_>>();
    parts.iter().map(|part| part[..1].to_owned() + &part[1..].to_lowercase()).collect()
}

/// The value's name without that of its enum.
fn bare(said: &EnumDescriptor, value: &EnumValueDescriptor) -> String {
    let mut prefix = String::new();
    for (at, letter) in said.name().char_indices() {
        if at > 0 && letter.is_uppercase() {
            prefix.push('_');
        }
        prefix.extend(letter.to_uppercase());
    }
    value.name().trim_start_matches(&format!("{prefix}_")).to_owned()
}

fn word(
    pool: &DescriptorPool,
    said: &EnumDescriptor,
    value: &EnumValueDescriptor,
) -> Result<String, Box<dyn Error>> {
    let option = pool.get_extension_by_name("leadline.control.v1.word").ok_or("no option for words")?;
    let own = value.options().get_extension(&option).as_str().unwrap_or_default().to_owned();
    Ok(if own.is_empty() { bare(said, value).to_lowercase() } else { own })
}
