// SPDX-License-Identifier: Apache-2.0
//! What `threebot farm rewards` lists, and `threebot farm claim` claims.

use super::{event, farm::ensure_exists};
use crate::{output::Answer, session::Session, time::moment};
use anyhow::Result;
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    api::{self, runtime_types::pallet_grid_farming::types::RewardInfo},
    primitives::{Balance, FarmId, NodeId, UnixSeconds, farming::period_start},
    units::format_tft,
};

/// A reward of a node.
type Reward = (NodeId, RewardInfo);

/// The rewards of a farm's nodes for the last 13 periods.
pub async fn list(at: &GridAt, farm: FarmId) -> Result<Answer> {
    let (rewards, now) = (read(at, farm).await?, at.timestamp_ms().await? / 1_000);
    let values: Vec<Value> = rewards.iter().map(|reward| value(reward, now)).collect();
    Ok(Answer::new(table(farm, &rewards, now), json!({ "farm": farm, "rewards": values })))
}

/// Claims what has matured, a transaction each. What isn't enrolled any more can be claimed, too.
pub async fn claim(session: &Session, farm: FarmId) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let (rewards, now) = (read(&at, farm).await?, at.timestamp_ms().await? / 1_000);
    let (mut claimed, mut sum): (Vec<Value>, Balance) = (Vec::new(), 0);
    for (node, reward) in rewards.iter().filter(|(_, reward)| can_be_claimed(reward, now)) {
        let what = format!("the claim of node {node} for period {}", reward.period);
        let call = api::transactions().farming().claim(*node, reward.period);
        let tft =
            event::<api::farming::events::RewardClaimed>(&session.submit(&what, &call).await?, &what)?.tft;
        sum = sum.saturating_add(tft);
        claimed.push(json!({ "node": node, "period": reward.period, "amount_tft_1e7": tft.to_string() }));
    }
    let text = match claimed.len() {
        0 => format!(
            "farm {farm}: no reward can be claimed yet; `threebot farm rewards {farm}` says from when"
        ),
        count => format!("farm {farm}: claimed {} TFT for {count} periods of nodes", format_tft(sum)),
    };
    let value = json!({ "farm": farm, "claimed": claimed, "total_tft_1e7": sum.to_string() });
    Ok(Answer::new(text, value))
}

async fn read(at: &GridAt, farm: FarmId) -> Result<Vec<Reward>> {
    ensure_exists(at, farm).await?;
    let mut rewards = Vec::new();
    for node in at.nodes_of_farm(farm).await? {
        rewards.extend(at.node_rewards(node).await?.into_iter().map(|reward| (node, reward)));
    }
    Ok(rewards)
}

fn can_be_claimed(reward: &RewardInfo, now: UnixSeconds) -> bool {
    !reward.claimed && reward.payout > 0 && reward.claimable_from <= now
}

fn state(reward: &RewardInfo, now: UnixSeconds) -> &'static str {
    if reward.claimed {
        "claimed"
    } else if can_be_claimed(reward, now) {
        "claimable"
    } else {
        "matures"
    }
}

fn table(farm: FarmId, rewards: &[Reward], now: UnixSeconds) -> String {
    if rewards.is_empty() {
        return format!(
            "farm {farm}: no rewards; a node earns once it is enrolled, and a period of 30 days has ended"
        );
    }
    let row = |node: &str, from: &str, tft: &str, state: &str, claim: &str| {
        format!("{node:>6}  {from:<16}  {tft:>16}  {state:<9}  {claim}")
    };
    let mut rows = vec![row("NODE", "PERIOD FROM", "TFT", "STATE", "CLAIM FROM")];
    rows.extend(rewards.iter().map(|(node, reward)| {
        row(
            &node.to_string(),
            moment(period_start(reward.period)).trim_end_matches(" UTC"),
            &format_tft(reward.payout),
            state(reward, now),
            moment(reward.claimable_from).trim_end_matches(" UTC"),
        )
    }));
    rows.push("times are UTC".into());
    rows.join("\n")
}

fn value((node, reward): &Reward, now: UnixSeconds) -> Value {
    json!({
        "node": node,
        "period": reward.period,
        "from": period_start(reward.period),
        "reward_tft_1e7": reward.tft.to_string(),
        "payout_tft_1e7": reward.payout.to_string(),
        "claimable_from": reward.claimable_from,
        "state": state(reward, now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reward(period: u32, claimed: bool) -> Reward {
        let claimable_from = period_start(period + 2);
        (7, RewardInfo { period, tft: 20_000_000, payout: 15_000_000, claimable_from, claimed })
    }

    #[test]
    fn rewards_are_claimable_once_they_have_matured() {
        let now = period_start(12);
        let rewards = [reward(9, true), reward(10, false), reward(11, false)];
        let states = rewards.each_ref().map(|(_, reward)| state(reward, now));
        assert_eq!(states, ["claimed", "claimable", "matures"]);
        let text = table(3, &rewards, now);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.contains("1.5  claimable"), "{text}");
        assert_eq!(value(&rewards[1], now)["payout_tft_1e7"], "15000000");
        assert!(table(3, &[], now).starts_with("farm 3: no rewards"));
        let (_, nothing) = reward(10, false);
        assert!(!can_be_claimed(&RewardInfo { payout: 0, ..nothing }, now));
    }
}
