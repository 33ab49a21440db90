//! `countersign withdraw`: takes a published verdict back, in a statement that is signed, entered and
//! served like the verdict was. Nothing is ever deleted.

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use countersign_attest::digest::{AnyDigest, Sha256};
use countersign_attest::dsse::{PAYLOAD_TYPE, pae};
use countersign_attest::statement::{Facts, Kind, Withdrawal};
use countersign_attest::verdict::WithdrawalReason;

use super::{Exit, Format, output};
use crate::clock;
use crate::config::Config;
use crate::identity;
use crate::pipeline::issue::{self, store_fault};
use crate::signers::Signers;
use crate::store::Store;
use crate::trouble::Trouble;

/// Arguments of `withdraw`.
#[derive(Debug, Args)]
pub(super) struct WithdrawArguments {
    /// The verdict's envelope, as pages and the API name it: sha256:….
    #[arg(value_name = "DIGEST")]
    statement: String,
    /// Why.
    #[arg(long, value_enum)]
    reason: Reason,
    /// More of it, for people; it is signed and public.
    #[arg(long)]
    note: Option<String>,
}

/// Why a verdict is taken back.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// Something of ours was at fault: a recipe, an environment, a machine.
    RebuilderFault,
    /// It was built from another source than the one that was meant.
    WrongSource,
    /// It is about another file than the one that was meant.
    WrongArtifact,
    /// The key may have been in other hands when it was signed.
    KeyExposed,
}

impl From<Reason> for WithdrawalReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::RebuilderFault => Self::RebuilderFault,
            Reason::WrongSource => Self::WrongSource,
            Reason::WrongArtifact => Self::WrongArtifact,
            Reason::KeyExposed => Self::KeyExposed,
        }
    }
}

pub(super) async fn run(
    arguments: WithdrawArguments,
    config: Config,
    format: Format,
) -> Result<Exit, Trouble> {
    let digest: AnyDigest = arguments.statement.parse().map_err(Trouble::refusal)?;
    let AnyDigest::Sha256(envelope) = digest else {
        let error = anyhow!("an envelope is named by its sha256");
        return Err(Trouble::refusal(error));
    };
    let unknown = || {
        let error = anyhow!(
            "no published verdict of {} has the envelope sha256:{envelope}; countersign release show lists them",
            config.data.display()
        );
        Trouble::refused("no-verdict", error)
    };
    let store = Store::open_beside(&config.data)
        .await
        .map_err(store_fault)?;
    let store = store.ok_or_else(unknown)?;
    let verdict = store.withdrawable(envelope).await.map_err(store_fault)?;
    let verdict = verdict.ok_or_else(unknown)?;
    let signers = Signers::of(&config)?;
    let now = clock::now();
    let facts = Facts {
        kind: Kind::Withdrawn,
        withdrawal: Some(Withdrawal {
            statement: Sha256::of(&pae(PAYLOAD_TYPE, &verdict.bytes)),
            withdrawn_on: now,
            reason: arguments.reason.into(),
            note: arguments.note,
        }),
        // who takes it back, with the key of today; it may be another one than signed the verdict
        rebuilder: identity::rebuilder(&config.rebuilder.id, signers.isolation()),
        ..verdict.facts.clone()
    };
    let mut drafts = issue::draft(&signers, vec![facts]).await?;
    let draft = drafts.pop().ok_or_else(unknown)?;
    let added = store.add_withdrawal(&verdict, &draft, now).await;
    if !added.map_err(store_fault)? {
        let error =
            anyhow!("the verdict with the envelope sha256:{envelope} was taken back already");
        return Err(Trouble::refused("withdrawn", error));
    }
    // the running daemon does the same at its next turn; every step repeats without harm
    issue::advance(&store, &signers, &config.data.join("attestations")).await?;
    let statement = Sha256::of(&draft.bytes);
    match format {
        Format::Json => output::json(&serde_json::json!({
            "withdrawn": envelope, "statement": statement,
        }))?,
        Format::Text => output::text(&format!(
            "the verdict {} with the envelope sha256:{envelope} is taken back, and that is published\n",
            verdict.facts.verdict
        ))?,
    }
    Ok(Exit::Good)
}
