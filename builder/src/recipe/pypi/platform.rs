//! For which interpreter and platform a wheel is (PEP 425), and whether that is what is here. Read off the
//! file's name alone.

use crate::environment::Capabilities;

/// What the last three parts of a wheel's name say.
struct Tags<'a> {
    python: &'a str,
    abi: &'a str,
    platform: &'a str,
}

impl<'a> Tags<'a> {
    fn of(file_name: &'a str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".whl")?.rsplitn(4, '-');
        let (platform, abi, python) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next()?;
        Some(Self {
            python,
            abi,
            platform,
        })
    }
}

/// Why a wheel cannot be made here: it is for another interpreter or platform.
pub(super) fn unlike(file_name: &str, here: &Capabilities) -> Option<String> {
    let Some(tags) = Tags::of(file_name) else {
        return Some("the name is not that of a wheel".to_owned());
    };
    let version = here.tool("python3").map(|tool| tool.version.as_str());
    let minor = version.and_then(minor).unwrap_or_default();
    let ours = format!("cp3{minor}");
    let is_python = tags.python.split('.').any(|tag| {
        let stable = tags.abi == "abi3" || tags.abi == "none";
        let older = |tag: &str| {
            let number = tag
                .strip_prefix("cp3")
                .and_then(|text| text.parse::<u32>().ok());
            number.is_some_and(|number| number <= minor)
        };
        tag == ours || tag == "py3" || (stable && older(tag))
    });
    let is_abi = [&ours, "abi3", "none"].contains(&tags.abi);
    let architecture = &here.architecture;
    let is_platform = tags.platform.split('.').any(|tag| {
        let family = tag.strip_suffix(architecture.as_str()).unwrap_or_default();
        family == "linux_" || family.starts_with("manylinux")
    });
    let fits = is_python && is_abi && is_platform;
    (!fits).then(|| {
        let Tags {
            python,
            abi,
            platform,
        } = tags;
        format!(
            "the wheel is for {python}-{abi} on {platform}; here is CPython {} on linux_{architecture}",
            version.unwrap_or("of no version")
        )
    })
}

/// What made the wheel's compiled code, where that is certainly not what is here: images for manylinux have
/// compilers of their own.
pub(super) fn foreign_compiler(file_name: &str) -> Option<String> {
    let Tags { platform, .. } = Tags::of(file_name)?;
    let native = platform.split('.').all(|tag| tag.starts_with("linux_"));
    (!native).then(|| format!("the compiler and the C library that {platform} is made with"))
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("3.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::FoundTool;

    #[test]
    fn a_wheel_is_for_this_machine_or_says_what_it_is_for() {
        let here = Capabilities {
            architecture: "x86_64".into(),
            id_mode: None,
            checks: Vec::new(),
            tools: vec![FoundTool {
                name: "python3".into(),
                version: "3.11.2".into(),
            }],
            alternatives: Vec::new(),
        };
        for (name, fits, native) in [
            ("a-1-cp311-cp311-linux_x86_64.whl", true, true),
            (
                "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                true,
                false,
            ),
            ("a-1-2-cp38-abi3-manylinux_2_28_x86_64.whl", true, false),
            ("a-1-py3-none-manylinux_2_28_x86_64.whl", true, false),
            ("a-1-cp312-cp312-linux_x86_64.whl", false, true),
            ("a-1-cp313-abi3-linux_x86_64.whl", false, true),
            ("a-1-cp311-cp311-linux_aarch64.whl", false, true),
            ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", false, false),
            ("a-1-cp311-cp311-macosx_11_0_arm64.whl", false, false),
            ("a-1-cp311-cp311-win_amd64.whl", false, false),
            ("a.whl", false, true),
        ] {
            assert_eq!(unlike(name, &here).is_none(), fits, "{name}");
            assert_eq!(foreign_compiler(name).is_none(), native, "{name}");
        }
        let said = unlike("a-1-cp312-cp312-win_amd64.whl", &here).unwrap();
        assert!(said.contains("cp312-cp312 on win_amd64"), "{said}");
    }
}
