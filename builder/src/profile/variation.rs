//! The registry of variations: values of the profile that a build should not notice, each under a name, so
//! that one which it does notice can be found and told.
//!
//! [`explore`] is the strategy (SANDBOX C8), pure but for the build that it asks for: all at once; where that
//! differs, the normalised build once more, which tells chance from the environment; then halves.

use countersign_attest::statement::{Effect, Variation as Varied};
use serde::{Deserialize, Serialize};

use super::Profile;
use crate::plan::Settings;

/// A named change of the profile.
#[derive(Debug, Clone, Copy)]
pub struct Variation {
    /// Its name in reports and attestations.
    pub name: &'static str,
    /// Changes a normalised profile; `false` where this machine has no other value, and then it is void.
    apply: fn(&mut Profile, &Place) -> bool,
    /// The value in a profile, for people.
    value: fn(&Profile) -> String,
}

/// What decides whether a variation is void.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Locales that are installed where the build runs, as `locale -a` prints them.
    pub locales: Vec<String>,
    /// Processors that a build may run on.
    pub cpus: u32,
    /// Whether `/usr/bin/bash` is there, and is not `/bin/sh` anyway.
    pub bash: bool,
}

/// Every variation that needs no other file system, kernel or machine. Not among them: the time of day, which
/// no namespace has; the file system's type, which needs root and an image; a gap of a minute between builds.
pub const VARIATIONS: &[Variation] = &[
    Variation {
        name: "build-path",
        apply: |profile, _| {
            profile.source = "/build/vary/longer/path/to/source".into();
            true
        },
        value: |profile| profile.source.clone(),
    },
    Variation {
        name: "home",
        apply: |profile, _| {
            profile.home = "/build/second-home".into();
            true
        },
        value: |profile| profile.home.clone(),
    },
    Variation {
        name: "user",
        apply: |profile, _| {
            (profile.user_name, profile.user_id) = ("builder2".into(), 2222);
            true
        },
        value: |profile| format!("{} ({})", profile.user_name, profile.user_id),
    },
    Variation {
        name: "umask",
        apply: |profile, _| {
            profile.umask = if profile.umask == 0o002 { 0o022 } else { 0o002 };
            true
        },
        value: |profile| format!("{:04o}", profile.umask),
    },
    Variation {
        name: "locale",
        apply: |profile, place| match other_locale(place) {
            Some(locale) => {
                profile.locale = locale;
                true
            }
            None => false,
        },
        value: |profile| profile.locale.clone(),
    },
    Variation {
        name: "time-zone",
        apply: |profile, _| {
            profile.time_zone = "GMT-14".into(); // another day for fourteen hours of each
            true
        },
        value: |profile| profile.time_zone.clone(),
    },
    Variation {
        name: "host-name",
        apply: |profile, _| {
            profile.host_name = "i-capture-the-hostname".into();
            profile.domain_name = "i-capture-the-domain".into();
            true
        },
        value: |profile| format!("{}, domain {}", profile.host_name, profile.domain_name),
    },
    Variation {
        name: "environment",
        apply: |profile, _| {
            profile.marked_environment = true;
            true
        },
        value: |profile| {
            let marked = "CAPTURE_ENVIRONMENT and /i_capture_the_path";
            if profile.marked_environment {
                marked
            } else {
                "exact"
            }
            .to_owned()
        },
    },
    Variation {
        name: "cpus",
        apply: |profile, place| {
            profile.cpus = Some(1);
            place.cpus > 1
        },
        value: |profile| {
            profile
                .cpus
                .map_or("all".to_owned(), |cpus| cpus.to_string())
        },
    },
    Variation {
        name: "jobs",
        apply: |profile, _| {
            profile.jobs = Some(if profile.jobs.is_some() { 1 } else { 3 });
            true
        },
        value: |profile| {
            profile
                .jobs
                .map_or("unset".to_owned(), |jobs| jobs.to_string())
        },
    },
    Variation {
        name: "file-order",
        apply: |profile, _| {
            profile.reverse_order = !profile.reverse_order;
            true
        },
        value: |profile| {
            if profile.reverse_order {
                "descending"
            } else {
                "ascending"
            }
            .to_owned()
        },
    },
    Variation {
        name: "file-times",
        apply: |profile, _| {
            profile.file_time_shift_seconds += 24 * 3600;
            true
        },
        value: |profile| format!("epoch{:+} s", profile.file_time_shift_seconds),
    },
    Variation {
        name: "uptime",
        apply: |profile, _| {
            profile.uptime_seconds = 400 * 24 * 3600;
            true
        },
        value: |profile| format!("{} s", profile.uptime_seconds),
    },
    Variation {
        name: "kernel-release",
        apply: |profile, _| {
            profile.old_kernel = true;
            true
        },
        value: |profile| if profile.old_kernel { "2.6" } else { "own" }.to_owned(),
    },
    Variation {
        name: "shell",
        apply: |profile, place| {
            profile.bash_as_sh = true;
            place.bash
        },
        value: |profile| if profile.bash_as_sh { "bash" } else { "own" }.to_owned(),
    },
    Variation {
        name: "address-layout",
        apply: |profile, _| {
            profile.random_addresses = true;
            true
        },
        value: |profile| {
            if profile.random_addresses {
                "random"
            } else {
                "fixed"
            }
            .to_owned()
        },
    },
    Variation {
        name: "stack",
        apply: |profile, _| {
            profile.stack_bytes = 16 << 20;
            true
        },
        value: |profile| format!("{} MiB", profile.stack_bytes >> 20),
    },
    Variation {
        name: "niceness",
        apply: |profile, _| {
            profile.niceness = 5;
            true
        },
        value: |profile| profile.niceness.to_string(),
    },
    Variation {
        name: "processor",
        apply: |profile, _| {
            profile.processor = "another x86-64-v2 processor".into();
            true
        },
        value: |profile| profile.processor.clone(),
    },
];

/// A locale with another alphabet's rules where there is one, else any that is not the normalised one.
fn other_locale(place: &Place) -> Option<String> {
    let usual = |name: &&String| {
        let lower = name.to_ascii_lowercase();
        let plain = matches!(
            lower.split(['.', '@']).next(),
            Some("c" | "posix" | "") | None
        );
        !plain && lower.contains("utf")
    };
    let begins = |start: &str| place.locales.iter().find(|name| name.starts_with(start));
    let preferred = begins("et_EE").or_else(|| begins("tr_TR"));
    preferred
        .or_else(|| place.locales.iter().find(usual))
        .cloned()
}

/// What varying has shown of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Finding {
    /// All variations at once changed nothing.
    Robust,
    /// The normalised build does not even agree with itself: threads, time or chance.
    Random,
    /// The build agrees with itself, and these variations change what it makes.
    Captures {
        /// A smallest set that was found: without any one of them the outputs were the same.
        names: Vec<String>,
    },
}

/// What a strategy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// What it means.
    pub finding: Finding,
    /// Every variation of the registry, in its order.
    pub variations: Vec<Varied>,
    /// Builds that were made beyond the first.
    pub builds: usize,
}

/// The normalised profile of a plan, and the same with some variations.
#[must_use]
pub fn profile(settings: &Settings, place: &Place, names: &[&str]) -> Profile {
    let mut profile = Profile::first().with(settings);
    for variation in VARIATIONS.iter().filter(|v| names.contains(&v.name)) {
        (variation.apply)(&mut profile, place);
    }
    profile
}

/// Finds out which variations a build notices. `same` builds with a profile and says whether the outputs
/// were those of the first, normalised build.
///
/// # Errors
/// Those of `same`.
pub fn explore<E>(
    settings: &Settings,
    place: &Place,
    same: &mut dyn FnMut(Profile) -> Result<bool, E>,
) -> Result<Explored, E> {
    let first = Profile::first().with(settings);
    let valid: Vec<&'static str> = VARIATIONS
        .iter()
        .filter(|variation| (variation.apply)(&mut first.clone(), place))
        .map(|variation| variation.name)
        .collect();
    let mut builds = 0;
    let mut differs = |names: &[&str]| {
        builds += 1;
        same(profile(settings, place, names)).map(|same| !same)
    };
    let mut culprits = Vec::new();
    let finding = if !differs(&valid)? {
        Finding::Robust
    } else if differs(&[])? {
        Finding::Random
    } else {
        let mut left = valid.clone();
        loop {
            let found = smallest(left.clone(), &mut differs)?;
            left.retain(|name| !found.contains(name));
            culprits.extend(found);
            // what one culprit hides may be the work of another
            if left.is_empty() || !differs(&left)? {
                break;
            }
        }
        let names = culprits.iter().map(|&name| name.to_owned()).collect();
        Finding::Captures { names }
    };
    let effect = |name: &str| match (&finding, valid.contains(&name)) {
        (_, false) => Some(Effect::Void),
        (Finding::Random, true) => None, // a build that differs by itself says nothing of it
        (Finding::Robust | Finding::Captures { .. }, true) if culprits.contains(&name) => {
            Some(Effect::Unstable)
        }
        (Finding::Robust | Finding::Captures { .. }, true) => Some(Effect::Stable),
    };
    let varied = VARIATIONS.iter().filter_map(|variation| {
        let mut other = first.clone();
        (variation.apply)(&mut other, place);
        Some(Varied {
            name: variation.name.to_owned(),
            values: [(variation.value)(&first), (variation.value)(&other)],
            outcome: effect(variation.name)?,
        })
    });
    Ok(Explored {
        variations: varied.collect(),
        finding,
        builds,
    })
}

/// A part of `names`, which differ together, of which nothing can be left out (delta debugging): one name
/// after about as many builds as halvings, where one is to blame.
fn smallest<E>(
    mut names: Vec<&'static str>,
    differs: &mut dyn FnMut(&[&str]) -> Result<bool, E>,
) -> Result<Vec<&'static str>, E> {
    let mut parts = 2;
    while names.len() > 1 {
        match part(&names, parts, differs)? {
            Some(part) => (names, parts) = (part, 2),
            None if parts >= names.len() => break,
            None => parts = (parts * 2).min(names.len()),
        }
    }
    Ok(names)
}

/// The first of `parts` parts, or of what is left without one of them, that still differs.
fn part<E>(
    names: &[&'static str],
    parts: usize,
    differs: &mut dyn FnMut(&[&str]) -> Result<bool, E>,
) -> Result<Option<Vec<&'static str>>, E> {
    let chunks: Vec<&[&'static str]> = names.chunks(names.len().div_ceil(parts)).collect();
    let without = |chunk: &[&str]| {
        names
            .iter()
            .filter(|n| !chunk.contains(n))
            .copied()
            .collect()
    };
    let mut tries: Vec<Vec<&'static str>> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
    if parts > 2 {
        tries.extend(chunks.iter().map(|chunk| without(chunk)));
    }
    for some in tries {
        if differs(&some)? {
            return Ok(Some(some));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            locales: ["C", "C.utf8", "POSIX", "de_DE.utf8", "tr_TR.utf8"]
                .map(String::from)
                .into(),
            cpus: 2,
            bash: true,
        }
    }

    /// A build that notices any of some sets of differences to the normalised profile.
    fn explored(place: &Place, notices: &[&[&str]], random: bool) -> Explored {
        let settings = Settings::default();
        let mut builds = 0;
        let mut same = |profile: Profile| {
            builds += 1;
            let first = Profile::first();
            let varied = |name: &&str| {
                let variation = VARIATIONS.iter().find(|v| v.name == *name).unwrap();
                (variation.value)(&profile) != (variation.value)(&first)
            };
            let noticed = notices.iter().any(|set| set.iter().all(varied));
            Ok::<_, ()>(!(noticed || random))
        };
        let found = explore(&settings, place, &mut same).unwrap();
        assert_eq!(found.builds, builds);
        found
    }

    fn names(found: &Explored) -> Vec<&str> {
        match &found.finding {
            Finding::Captures { names } => names.iter().map(String::as_str).collect(),
            Finding::Robust | Finding::Random => panic!("{found:?}"),
        }
    }

    fn effect(found: &Explored, name: &str) -> Option<Effect> {
        found
            .variations
            .iter()
            .find(|v| v.name == name)
            .map(|v| v.outcome)
    }

    #[test]
    fn a_robust_build_takes_one_more_and_a_random_one_two() {
        let robust = explored(&place(), &[], false);
        assert_eq!((&robust.finding, robust.builds), (&Finding::Robust, 1));
        assert!(
            robust
                .variations
                .iter()
                .all(|v| v.outcome == Effect::Stable)
        );
        assert_eq!(robust.variations.len(), VARIATIONS.len());
        let random = explored(&place(), &[&["umask"]], true);
        assert_eq!((&random.finding, random.builds), (&Finding::Random, 2));
        assert_eq!(random.variations, []);
    }

    #[test]
    fn every_single_culprit_is_found_by_halving() {
        for variation in VARIATIONS {
            let found = explored(&place(), &[&[variation.name]], false);
            assert_eq!(names(&found), [variation.name]);
            // all, none, at most two for each halving, and the rest
            assert!(
                found.builds <= 3 + 2 * 5,
                "{}: {}",
                variation.name,
                found.builds
            );
            assert_eq!(effect(&found, variation.name), Some(Effect::Unstable));
            let others = found
                .variations
                .iter()
                .filter(|v| v.outcome == Effect::Stable);
            assert_eq!(others.count(), VARIATIONS.len() - 1);
        }
    }

    #[test]
    fn several_culprits_are_found_whether_they_act_alone_or_together() {
        let mut alone = names(&explored(&place(), &[&["umask"], &["niceness"]], false)).concat();
        assert!(
            alone == "umaskniceness" || alone == "nicenessumask",
            "{alone}"
        );
        alone.clear();
        let together = explored(&place(), &[&["build-path", "processor"]], false);
        assert_eq!(names(&together), ["build-path", "processor"]);
    }

    #[test]
    fn what_this_machine_cannot_vary_is_void() {
        let bare = Place {
            locales: ["C", "C.utf8", "POSIX"].map(String::from).into(),
            cpus: 1,
            bash: false,
        };
        let found = explored(&bare, &[&["cpus"], &["locale"]], false);
        assert_eq!(found.finding, Finding::Robust);
        assert_eq!(effect(&found, "locale"), Some(Effect::Void));
        assert_eq!(effect(&found, "cpus"), Some(Effect::Void));
        assert_eq!(effect(&found, "shell"), Some(Effect::Void));
        assert_eq!(effect(&found, "umask"), Some(Effect::Stable));
        assert_eq!(other_locale(&place()).as_deref(), Some("tr_TR.utf8"));
    }

    #[test]
    fn every_variation_has_a_name_of_its_own_and_changes_what_it_says() {
        let mut seen = std::collections::BTreeSet::new();
        for variation in VARIATIONS {
            assert!(seen.insert(variation.name), "{}", variation.name);
            let (first, mut other) = (Profile::first(), Profile::first());
            assert!(
                (variation.apply)(&mut other, &place()),
                "{}",
                variation.name
            );
            assert_ne!((variation.value)(&first), (variation.value)(&other));
        }
    }
}
