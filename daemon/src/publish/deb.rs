//! Artifacts of a distribution's archive: binary packages, and the files of source packages.
//!
//! apt is the authority, with a state of its own: it verifies the signature of each suite and the
//! digests below it. Files come by our own client and must have the digest of the index. The archive
//! has no times of publication, so none are claimed. With a binary package comes what its source
//! package has in tars, where the archive still has it: times of files that git has lost.

use std::fmt;
use std::sync::Arc;

use countersign_attest::time::Timestamp;
use countersign_builder::release::Published;

use super::endpoints::EndpointError;
use super::error::PublishError;
use super::front::{Front, Package, Pending};
use super::name::{self, percent_decoded, percent_encoded};
use super::{Fetcher, Found, registry, released};
use crate::apt::{self, Apt, AptError, Paragraph, Sources, Uri};

/// See the module.
pub(super) const FRONT: Front = Front {
    kind: "deb",
    key: "registries.deb",
    client: "apt-get",
    parse: |rest| DebPackage::parse(rest).map(|package| Arc::new(package) as Arc<dyn Package>),
    endpoint: |text| match Sources::parse(text) {
        Ok(sources) => Ok(sources.to_string()),
        Err(problem) => Err(EndpointError::Sources(problem)),
    },
    discover: || {
        Box::pin(async {
            let found = apt::discover().await;
            found
                .map(|sources| sources.to_string())
                .map_err(EndpointError::Apt)
        })
    },
};

/// The architecture of a package URL that means the source package.
const SOURCE: &str = "source";

/// A package of a distribution.
#[derive(Debug)]
struct DebPackage {
    /// Whose archive: what its Release files say as `Origin`, in lower case.
    vendor: String,
    name: String,
    /// The one version that the user wants, instead of what the tag spells.
    version: Option<String>,
    /// `all`, this machine's, or [`SOURCE`]; absent for whichever of the first two it is.
    arch: Option<String>,
    /// A release of the distribution, where it is not the one that apt is configured for.
    distro: Option<String>,
}

impl DebPackage {
    /// Reads what stands after `pkg:deb/`; the error is the problem.
    fn parse(rest: &str) -> Result<Self, &'static str> {
        let (rest, qualifiers) = match rest.split_once('?') {
            Some((rest, qualifiers)) => (rest, qualifiers),
            None => (rest, ""),
        };
        let (vendor, rest) = rest
            .split_once('/')
            .ok_or("it has no distribution before the name, as in pkg:deb/debian/hello")?;
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (rest, None),
        };
        let name = percent_decoded(name).ok_or("its name is not percent-encoded UTF-8")?;
        if !is_name(vendor) || !is_name(&name) {
            return Err("its name is not one of a package (Debian policy §5.6.7)");
        }
        let mut package = Self {
            vendor: vendor.to_owned(),
            name,
            version: registry::wanted_version(version, is_version)?,
            arch: None,
            distro: None,
        };
        for qualifier in qualifiers.split('&').filter(|q| !q.is_empty()) {
            let (key, value) = qualifier.split_once('=').unwrap_or((qualifier, ""));
            let slot = match key {
                "arch" => &mut package.arch,
                "distro" => &mut package.distro,
                _ => return Err("of qualifiers it may have arch and distro"),
            };
            if !is_name(value) || slot.replace(value.to_owned()).is_some() {
                return Err("a qualifier of it has no usable value");
            }
        }
        let arch = package.arch.as_deref();
        if arch.is_some_and(|arch| ![SOURCE, "all", apt::debian_architecture()].contains(&arch)) {
            return Err("packages of another architecture than this machine's cannot be rebuilt");
        }
        Ok(package)
    }

    /// The purl of a version of a package of the same vendor, in canonical form.
    fn purl(&self, name: &str, version: &str, arch: &str, distro: &str) -> String {
        let (vendor, name) = (&self.vendor, percent_encoded(name, b""));
        let version = percent_encoded(version, b":");
        format!("pkg:deb/{vendor}/{name}@{version}?arch={arch}&distro={distro}")
    }
}

impl fmt::Display for DebPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = percent_encoded(&self.name, b"");
        write!(f, "pkg:deb/{}/{name}", self.vendor)?;
        if let Some(version) = &self.version {
            write!(f, "@{}", percent_encoded(version, b":"))?;
        }
        let qualifiers = [("arch", &self.arch), ("distro", &self.distro)];
        let given = qualifiers
            .into_iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
        for (index, (key, value)) in given.enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl Package for DebPackage {
    fn fetch<'a>(
        &'a self,
        fetcher: &'a Fetcher<'a>,
        versions: &'a [String],
        now: Timestamp,
    ) -> Pending<'a, Result<Found, PublishError>> {
        Box::pin(fetch(fetcher, self, versions, now))
    }
}

/// Letters, digits and `+-.`, none of the latter first, which would make it an option.
fn is_name(name: &str) -> bool {
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 128
        && name.bytes().all(safe)
}

/// Debian policy §5.6.12.
fn is_version(version: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b".+-:~".contains(&b);
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.len() <= 256
        && version.bytes().all(safe)
}

/// The versions that a tag may stand for, with what git forbids in a tag put back (DEP-14).
fn spellings(package: &DebPackage, versions: &[String]) -> Vec<String> {
    if let Some(version) = &package.version {
        return vec![version.clone()];
    }
    let mut spellings = Vec::new();
    for version in versions {
        let unmangled = version.replace('%', ":").replace('_', "~").replace('#', "");
        for spelling in [version.clone(), unmangled] {
            if is_version(&spelling) && !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
    }
    spellings
}

/// A version in the index.
struct Chosen {
    /// The package's own version, that of a binNMU too.
    version: String,
    /// The source package.
    source: String,
    /// What the release is called: the source's version.
    release: String,
    arch: String,
    files: Vec<Uri>,
    /// Tars of the source package that a binary package is of.
    companions: Vec<Uri>,
}

async fn fetch(
    fetcher: &Fetcher<'_>,
    package: &DebPackage,
    versions: &[String],
    now: Timestamp,
) -> Result<Found, PublishError> {
    let text = fetcher.endpoints.text(FRONT.kind);
    let sources = text.and_then(|text| Sources::parse(text).ok());
    let mut sources = sources.ok_or(PublishError::NoEndpoint(FRONT.key))?;
    if let Some(distro) = &package.distro {
        sources = sources.of_release(distro);
    }
    let apt = Apt::open(fetcher.clients, &sources).await?;
    let tried = spellings(package, versions);
    let missing = PublishError::VersionMissing {
        package: package.name.clone(),
        tried: tried.clone(),
    };
    let chosen = match package.arch.as_deref() {
        Some(SOURCE) => source_package(&apt, package, &tried).await?,
        Some(_) | None => binary_package(&apt, package, &tried).await?,
    };
    let chosen = chosen.ok_or(missing)?;
    let suite = suite(&apt, package, &chosen).await?;
    let distro = apt::release_of(&suite);
    let mut artifacts = Vec::new();
    for file in &chosen.files {
        let mut artifact = take(fetcher, file, now).await?;
        artifact.purl = Some(package.purl(&package.name, &chosen.version, &chosen.arch, distro));
        artifacts.push(artifact);
    }
    let mut companions = Vec::new();
    for file in &chosen.companions {
        match take(fetcher, file, now).await {
            Ok(mut companion) => {
                let purl = package.purl(&chosen.source, &chosen.release, SOURCE, distro);
                companion.purl = Some(purl);
                companions.push(companion);
            }
            // an index may list what its archive no longer has; nothing depends on it
            Err(PublishError::TarballMissing { .. } | PublishError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Found {
        version: chosen.release,
        artifacts,
        companions,
    })
}

/// The binary package of one of these versions, or built from a source of one of these versions: the
/// first version that is there, and of it the highest rebuild, which the index has first.
async fn binary_package(
    apt: &Apt,
    package: &DebPackage,
    versions: &[String],
) -> Result<Option<Chosen>, PublishError> {
    let known = apt.versions(&package.name).await?;
    if known.is_empty() {
        return Err(PublishError::PackageUnknown {
            package: package.name.clone(),
            registry: package.vendor.clone(),
        });
    }
    let is = |paragraph: &&Paragraph, wanted: &String| {
        let own = paragraph.field("version");
        let source = paragraph.source().map(|(_, version)| version);
        own == Some(wanted) || (package.version.is_none() && source == Some(wanted))
    };
    let of_arch = |paragraph: &&Paragraph| {
        let wanted = package.arch.as_deref();
        wanted.is_none() || paragraph.field("architecture") == wanted
    };
    let found = versions.iter().find_map(|wanted| {
        let mut known = known.iter();
        known.find(|paragraph| is(paragraph, wanted) && of_arch(paragraph))
    });
    let Some(found) = found else { return Ok(None) };
    let (Some(version), Some(arch), Some((source, release))) = (
        found.field("version"),
        found.field("architecture"),
        found.source(),
    ) else {
        return Ok(None);
    };
    Ok(Some(Chosen {
        version: version.to_owned(),
        source: source.to_owned(),
        release: release.to_owned(),
        arch: arch.to_owned(),
        files: apt.binary(&package.name, version).await?,
        companions: source_tars(apt, source, release).await?,
    }))
}

/// The tars of a source package; none where the index has no such version of it.
async fn source_tars(apt: &Apt, source: &str, version: &str) -> Result<Vec<Uri>, PublishError> {
    match apt.source(source, version).await {
        Ok(mut files) => {
            files.retain(|file| file.file_name.contains(".tar.") && !is_signature(&file.file_name));
            Ok(files)
        }
        Err(AptError::Answer { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file of a source package is a signature of another.
fn is_signature(file_name: &str) -> bool {
    file_name.ends_with(".asc")
}

async fn source_package(
    apt: &Apt,
    package: &DebPackage,
    versions: &[String],
) -> Result<Option<Chosen>, PublishError> {
    let listed = apt.listed(&package.name).await?;
    let found = versions.iter().find(|wanted| {
        let mut sources = listed.iter().filter(|listed| listed.is_source);
        sources.any(|listed| listed.version == **wanted)
    });
    let Some(version) = found else {
        return Ok(None);
    };
    Ok(Some(Chosen {
        version: version.clone(),
        source: package.name.clone(),
        release: version.clone(),
        arch: SOURCE.to_owned(),
        files: apt.source(&package.name, version).await?,
        companions: Vec::new(),
    }))
}

/// The suite that has it, which must be the vendor's by its signed Release file.
async fn suite(apt: &Apt, package: &DebPackage, chosen: &Chosen) -> Result<String, PublishError> {
    let origins = apt.origins().await?;
    let is_vendors = |archive: &str, suite: &str| {
        origins.iter().any(|(uri, of, origin)| {
            uri.trim_end_matches('/') == archive
                && of == suite
                && origin.to_ascii_lowercase() == package.vendor
        })
    };
    let from = |archive: &str| {
        let mut files = chosen.files.iter();
        files.all(|file| file.url.as_str().starts_with(&format!("{archive}/")))
    };
    let is_source = chosen.arch == SOURCE;
    let listed = apt.listed(&package.name).await?;
    let found = listed.into_iter().find(|listed| {
        listed.version == chosen.version
            && listed.is_source == is_source
            && from(&listed.archive)
            && is_vendors(&listed.archive, &listed.suite)
    });
    found
        .map(|listed| listed.suite)
        .ok_or_else(|| PublishError::PackageUnknown {
            package: format!("{} {}", package.name, chosen.version),
            registry: package.vendor.clone(),
        })
}

async fn take(
    fetcher: &Fetcher<'_>,
    file: &Uri,
    now: Timestamp,
) -> Result<Published, PublishError> {
    // the archive's own name for it, without what apt puts for a colon
    let file_name = name::of_url(&file.url)?;
    let accept = registry::has_sha256(&file.url, Some(file.sha256));
    let digests = registry::store(fetcher, &file.url, accept).await?;
    let mut artifact = released(file_name, digests, file.url.to_string(), now);
    artifact.declared = Some(format!("sha256:{}", file.sha256));
    Ok(artifact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_canonical() {
        for (text, expect) in [
            ("debian/hello", "pkg:deb/debian/hello"),
            (
                "debian/libstdc++6@{version}",
                "pkg:deb/debian/libstdc%2B%2B6",
            ),
            (
                "debian/jq@1:1.0~rc-2+b1?distro=sid&arch=all",
                "pkg:deb/debian/jq@1:1.0~rc-2%2Bb1?arch=all&distro=sid",
            ),
            ("debian/jq?arch=source", "pkg:deb/debian/jq?arch=source"),
        ] {
            let package = DebPackage::parse(text).unwrap();
            assert_eq!(package.to_string(), expect);
        }
        for bad in [
            "hello",
            "debian/",
            "debian/-o",
            "debian/Hello",
            "debian/a/b",
            "debian/a@-1",
            "debian/a@1 2",
            "debian/a?arch=mips",
            "debian/a?arch=all&arch=all",
            "debian/a?distro=",
            "debian/a?distro=-x",
            "debian/a?x=y",
            "de bian/a",
        ] {
            assert!(DebPackage::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_may_have_what_git_forbids_in_another_spelling() {
        let package = DebPackage::parse("debian/a").unwrap();
        let spelled = |version: &str| spellings(&package, &[version.to_owned()]);
        assert_eq!(spelled("1%2.0_rc1-1"), ["1:2.0~rc1-1"]);
        assert_eq!(spelled("1.0-1"), ["1.0-1"]);
        assert!(spelled("--x").is_empty());
        let pinned = DebPackage::parse("debian/a@2").unwrap();
        assert_eq!(spellings(&pinned, &["1".to_owned()]), ["2"]);
    }
}
