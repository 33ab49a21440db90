//! Reads what a workflow of a forge runs to publish: scripts, variables, folders, node. No YAML reader: the
//! few keys that count are found line by line, and whatever is written otherwise is not seen.

use std::collections::BTreeMap;

use super::publishing::Task;

/// What runs scripts and publishes.
const MANAGERS: [&str; 3] = ["npm", "pnpm", "yarn"];
/// Publishes after it has set the version.
const RELEASER: &str = "semantic-release";
/// Beginnings of scripts that make nothing.
const CHECKS: [&str; 8] = [
    "audit",
    "check",
    "coverage",
    "format",
    "lint",
    "test",
    "type-check",
    "typecheck",
];

/// What was found in one workflow that publishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Workflow {
    /// Scripts that are run before, in order.
    pub(super) scripts: Vec<Task>,
    /// The folder in which is published, or that is named.
    pub(super) folder: Option<String>,
    /// A number or version of node.
    pub(super) node: Option<String>,
}

#[derive(Default)]
struct Step {
    run: Vec<String>,
    folder: Option<String>,
    variables: BTreeMap<String, String>,
    node: Option<String>,
}

/// Which key the following lines belong to, if they are indented more than it.
enum Inside {
    Nothing,
    Run(usize),
    Env(usize),
}

/// Reads a workflow; `None` where it does not publish. `known` says whether a script is the package's.
pub(super) fn read(text: &str, known: impl Fn(&str) -> bool) -> Option<Workflow> {
    let mut workflow = Workflow::default();
    for step in steps(text) {
        let mut folder = step.folder.clone().unwrap_or_default();
        for command in step.run.iter().flat_map(|line| commands(line)) {
            let words: Vec<&str> = command.split_ascii_whitespace().collect();
            if let ["cd", into] = words.as_slice() {
                folder = join(&folder, into);
            } else if let Some(named) = publishes(&words) {
                let place = named.map_or_else(|| folder.clone(), |named| join(&folder, named));
                workflow.folder = Some(place).filter(|place| !place.is_empty());
                return Some(workflow);
            } else if let Some(script) = script(&words)
                && folder.is_empty()
                && known(script)
                && !CHECKS.iter().any(|check| script.starts_with(check))
            {
                workflow.scripts.push(Task {
                    script: script.to_owned(),
                    variables: step.variables.clone(),
                });
            }
        }
        workflow.node = step.node.or(workflow.node);
    }
    None
}

/// The folder that is published by one line of commands, where there is one that publishes.
pub(super) fn folder_of(line: &str) -> Option<String> {
    let mut folder = String::new();
    for command in commands(line) {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        if let ["cd", into] = words.as_slice() {
            folder = join(&folder, into);
        } else if let Some(named) = publishes(&words) {
            let place = named.map_or_else(|| folder.clone(), |named| join(&folder, named));
            return Some(place).filter(|place| !place.is_empty());
        }
    }
    None
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![Step::default()];
    let mut inside = Inside::Nothing;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indent = line.len() - trimmed.len();
        match inside {
            Inside::Run(of) if indent > of => {
                if let Some(step) = steps.last_mut() {
                    step.run.push(trimmed.to_owned());
                }
                continue;
            }
            Inside::Env(of) if indent > of => {
                if let (Some(step), Some((name, value))) =
                    (steps.last_mut(), trimmed.split_once(':'))
                    && let Some(value) = literal(value)
                    && is_variable(name)
                {
                    step.variables.insert(name.to_owned(), value.to_owned());
                }
                continue;
            }
            Inside::Run(_) | Inside::Env(_) | Inside::Nothing => inside = Inside::Nothing,
        }
        let (trimmed, indent) = match trimmed.strip_prefix("- ") {
            Some(rest) => {
                steps.push(Step::default());
                (rest.trim_start(), indent + 2)
            }
            None => (trimmed, indent),
        };
        let (Some(step), Some((key, value))) = (steps.last_mut(), trimmed.split_once(':')) else {
            continue;
        };
        match key {
            "run" if value.trim().starts_with(['|', '>']) => inside = Inside::Run(indent),
            "run" => step.run.push(value.trim().to_owned()),
            "env" if literal(value).is_none() => inside = Inside::Env(indent),
            "working-directory" => step.folder = literal(value).map(|folder| join("", folder)),
            "node-version" => {
                step.node = literal(value).filter(|v| is_number(v)).map(str::to_owned);
            }
            _ => {}
        }
    }
    steps
}

/// A value that stands there as it is.
fn literal(value: &str) -> Option<&str> {
    let value = value.split(" #").next().unwrap_or(value).trim();
    let value = value.trim_matches(['"', '\'']);
    (!value.is_empty() && !value.contains("${{") && !value.contains(char::is_control))
        .then_some(value)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_number(version: &str) -> bool {
    let mut parts = version.split('.');
    parts.all(|part| part == "x" || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())))
        && version.starts_with(|c: char| c.is_ascii_digit())
}

fn commands(line: &str) -> impl Iterator<Item = &str> {
    line.split(&['&', ';', '|'][..]).map(str::trim)
}

/// Whether a command publishes, and the folder that it names.
fn publishes<'a>(words: &[&'a str]) -> Option<Option<&'a str>> {
    let words = match words {
        [variables @ .., _] if variables.first().is_some_and(|word| word.contains('=')) => {
            let from = words.iter().position(|word| !word.contains('='))?;
            words.get(from..)?
        }
        _ => words,
    };
    let installs = words
        .iter()
        .any(|word| matches!(*word, "add" | "ci" | "i" | "install"));
    if words.contains(&RELEASER) && !installs {
        return Some(None);
    }
    let rest = match words {
        [manager, "publish", rest @ ..] if MANAGERS.contains(manager) => rest,
        ["npm", "stage", "publish", rest @ ..] | ["yarn", "npm", "publish", rest @ ..] => rest,
        _ => return None,
    };
    // values of options stand behind them
    let first = rest.first().filter(|word| !word.starts_with('-'));
    let dotted = rest.iter().find(|word| word.starts_with("./"));
    let named = first.or(dotted).copied();
    Some(named.filter(|named| !named.contains(['$', '*']) && !named.ends_with(".tgz")))
}

/// The script of the package that a command runs.
fn script<'a>(words: &[&'a str]) -> Option<&'a str> {
    match words {
        [manager, "run", script] if MANAGERS.contains(manager) => Some(script),
        ["pnpm" | "yarn", script] => Some(script),
        _ => None,
    }
}

/// A folder below another, as a path without dots; one that leads out is none.
fn join(folder: &str, into: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in into.trim_matches(['"', '\'']).split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(script: &str, variables: &[(&str, &str)]) -> Task {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Task {
            script: script.to_owned(),
            variables: variables.iter().map(owned).collect(),
        }
    }

    #[test]
    fn scripts_variables_folder_and_node_are_read_up_to_the_publishing() {
        let text = "\
jobs:
  publish:
    steps:
      - uses: actions/setup-node@v4
        with:
          node-version: 18 # as always
      - run: pnpm install
      - name: Build
        env: # for what node forgot
          NODE_OPTIONS: --openssl-legacy-provider
          TOKEN: ${{ secrets.X }}
        run: npm run build && npm run babel
      - run: |
          pnpm test
          pnpm run types
      - name: Publish
        run: npm publish --tag next
        working-directory: ./dist
      - run: npm run after
";
        let options = [("NODE_OPTIONS", "--openssl-legacy-provider")];
        let found = read(text, |script| script != "install").unwrap();
        let expect = Workflow {
            scripts: vec![
                task("build", &options),
                task("babel", &options),
                task("types", &[]),
            ],
            folder: Some("dist".into()),
            node: Some("18".into()),
        };
        assert_eq!(found, expect);
        assert!(read(text, |_| false).unwrap().scripts.is_empty());
        // a tool that publishes is not run where it is installed
        let text = "steps:\n  - run: |\n      npm i -g semantic-release\n      npm run a\n      X=${{ y }} semantic-release\n";
        assert_eq!(read(text, |_| true).unwrap().scripts, [task("a", &[])]);
        // what publishes nothing, or elsewhere, says nothing
        assert_eq!(read("steps:\n  - run: npm run build\n", |_| true), None);
        let elsewhere = "steps:\n  - run: npx jsr publish\n  - run: pnpm dlx x publish './dist'\n";
        assert_eq!(read(elsewhere, |_| true), None);
    }

    #[test]
    fn lines_of_commands_name_the_folder_that_is_published() {
        for (line, expect) in [
            ("npm run build && cd dist && npm publish", Some("dist")),
            ("npm publish ./dist/npm --access public", Some("dist/npm")),
            ("npm publish --access public ./out", Some("out")),
            ("pnpm publish build/", Some("build")),
            ("A=b npm publish lib", Some("lib")),
            ("cd packages/a; cd ../b && npm publish", Some("packages/b")),
            ("npm publish", None),
            ("npm publish --tag next", None),
            ("npm publish $OUT", None),
            ("npm publish a-1.0.0.tgz", None),
            ("cd dist && npm pack", None),
            ("echo publish dist", None),
            ("", None),
        ] {
            assert_eq!(folder_of(line).as_deref(), expect, "{line}");
        }
    }

    #[test]
    fn versions_of_node_are_numbers_and_hostile_text_is_no_trouble() {
        for (text, expect) in [
            ("20", true),
            ("18.x", true),
            ("lts/*", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(is_number(text), expect, "{text}");
        }
        for text in [
            "- - - run:",
            "run: |\n",
            "- run: cd\n- run: npm publish",
            ":\n\u{0}:",
            "- env:\n  :",
        ] {
            let _ = read(text, |_| true);
        }
        assert_eq!(join("a", "../../../b"), "b");
    }
}
