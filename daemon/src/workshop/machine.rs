//! What this machine can do, found by doing it once, and which toolchain a plan gets of it.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_builder::child;
use countersign_builder::environment::{self, Capabilities};
use countersign_builder::plan::ToolVersion;

use super::{Workshop, rustup};
use crate::trouble::Trouble;

/// Longest time for finding out about this machine.
const PROBE_TIME: Duration = Duration::from_secs(120);

impl Workshop {
    /// What this machine can do, with the versions of these tools; found once.
    ///
    /// # Errors
    /// When no sandbox works here: says what is missing and the remedy.
    pub(crate) async fn capabilities(&self, tools: &[String]) -> Result<Capabilities, Trouble> {
        let mut known = self.capabilities.lock().await;
        if let Some((asked, found)) = &*known
            && tools.iter().all(|tool| asked.contains(tool))
        {
            return Ok(found.clone());
        }
        let mut found = self.probe(tools).await?;
        if !found.can_build() {
            let problems: Vec<String> = found
                .checks
                .iter()
                .filter(|check| check.required)
                .filter_map(|check| {
                    let problem = check.problem.as_ref()?;
                    let remedy = check
                        .remedy
                        .as_deref()
                        .unwrap_or("see `countersign doctor`");
                    Some(format!("{}: {problem}; {remedy}", check.name))
                })
                .collect();
            let text = format!("no sandbox works on this machine: {}", problems.join("; "));
            return Err(Trouble::fault("sandbox", anyhow::anyhow!(text)));
        }
        if tools
            .iter()
            .any(|tool| rustup::TOOLS.contains(&tool.as_str()))
        {
            for folder in &self.alternatives {
                let mut one = self
                    .probe_with(tools, self.with_alternative(folder))
                    .await?;
                // what does not come with the toolchain is no part of the alternative
                one.tools
                    .retain(|tool| rustup::TOOLS.contains(&tool.name.as_str()));
                found.alternatives.push(one.tools);
            }
        }
        *known = Some((tools.to_vec(), found.clone()));
        Ok(found)
    }

    fn with_alternative(&self, folder: &str) -> Vec<String> {
        std::iter::once(folder.to_owned())
            .chain(self.toolchains())
            .collect()
    }

    /// The toolchains to mount for a plan that pins `tools`: those of this machine, or an alternative
    /// before them. `None` where neither has all of them at exactly these versions.
    #[must_use]
    pub(crate) fn toolchains_for(
        &self,
        tools: &[ToolVersion],
        found: &Capabilities,
    ) -> Option<Vec<String>> {
        let own = |tool: &ToolVersion| {
            found
                .tool(&tool.name)
                .is_some_and(|t| t.version == tool.version)
        };
        if tools.iter().all(own) {
            return Some(self.toolchains());
        }
        let alternatives = found.alternatives.iter().zip(&self.alternatives);
        for (set, folder) in alternatives {
            let there = |tool: &ToolVersion| match set.iter().find(|t| t.name == tool.name) {
                Some(found) => found.version == tool.version,
                None => own(tool),
            };
            if tools.iter().all(there) {
                return Some(self.with_alternative(folder));
            }
        }
        None
    }

    /// Finds out what this machine can do, whether or not that is enough to build.
    ///
    /// # Errors
    /// When the child that tries cannot be started.
    pub(crate) async fn probe(&self, tools: &[String]) -> Result<Capabilities, Trouble> {
        self.probe_with(tools, self.toolchains()).await
    }

    async fn probe_with(
        &self,
        tools: &[String],
        toolchains: Vec<String>,
    ) -> Result<Capabilities, Trouble> {
        let binary = self.binary.clone();
        let wanted: BTreeMap<String, Vec<String>> = tools
            .iter()
            .map(|tool| (tool.clone(), environment::version_command(tool)))
            .collect();
        tokio::task::spawn_blocking(move || child::probe(&binary, &toolchains, &wanted, PROBE_TIME))
            .await
            .map_err(|error| Trouble::fault("bug", error))?
            .map_err(|error| Trouble::fault("child", error))
    }

    /// Folders with toolchains beside `/usr`.
    #[must_use]
    pub(crate) fn toolchains(&self) -> Vec<String> {
        self.toolchains.clone()
    }
}
