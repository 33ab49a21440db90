//! What this machine can do, found by doing it once, and which toolchain a plan gets of it.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_builder::child;
use countersign_builder::environment::{self, Capabilities, FoundTool};
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
        found.alternatives = self.alternatives(tools).await?;
        *known = Some((tools.to_vec(), found.clone()));
        Ok(found)
    }

    /// What each of the toolchains that a plan may choose from has of these tools.
    ///
    /// # Errors
    /// When the child that tries cannot be started.
    pub(crate) async fn alternatives(
        &self,
        tools: &[String],
    ) -> Result<Vec<Vec<FoundTool>>, Trouble> {
        let comes_with_it = |tool: &str| rustup::TOOLS.contains(&tool);
        let mut alternatives = Vec::new();
        if !tools.iter().any(|tool| comes_with_it(tool)) {
            return Ok(alternatives);
        }
        for folders in &self.alternatives {
            let probed = self.probe_with(tools, self.with_alternative(folders));
            let mut one = probed.await?;
            // what does not come with the toolchain is no part of the alternative
            one.tools.retain(|tool| comes_with_it(&tool.name));
            alternatives.push(one.tools);
        }
        Ok(alternatives)
    }

    fn with_alternative(&self, folders: &[String]) -> Vec<String> {
        let own = self.toolchains.iter();
        let own = own.filter(|folder| !folders.contains(folder));
        folders.iter().chain(own).cloned().collect()
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
        for (set, folders) in alternatives {
            let there = |tool: &ToolVersion| match set.iter().find(|t| t.name == tool.name) {
                Some(found) => found.version == tool.version,
                None => own(tool),
            };
            if tools.iter().all(there) {
                return Some(self.with_alternative(folders));
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
