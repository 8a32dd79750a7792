//! Tokens of the control API, and whose things are whose.

use leadlined::{
    domain::{
        ids::{KeyId, TokenId},
        role::Role,
    },
    store::token::{NewToken, Owned, TokenView},
};
use uuid::Uuid;

use super::bench::{Bench, dead};

impl Bench {
    async fn token(&self, hash: u8, expires_at: Option<jiff::Timestamp>, is_own: bool) -> TokenId {
        let id = TokenId::generate();
        let new = NewToken {
            id,
            company: is_own.then_some(self.company),
            name: "desk",
            role: Role::Operator,
            masked: true,
            prefix: "lt_1234",
            hash: &[hash; 32],
            expires_at,
        };
        let mut command = self.command().await;
        command.create_token(&new).await.unwrap();
        command.commit().await.unwrap();
        id
    }

    async fn live(&self, hash: u8) -> Option<TokenView> {
        self.store.live_token(&[hash; 32]).await.unwrap()
    }
}

#[tokio::test]
async fn a_token_opens_until_it_expires_or_is_revoked() {
    let bench = Bench::new().await;
    let past = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let [good, old] = [bench.token(1, None, true).await, bench.token(2, Some(past), false).await];
    let live = bench.live(1).await.unwrap();
    assert_eq!((live.id, live.role.known(), live.masked), (good, Some(Role::Operator), true));
    assert_eq!(live.company, Some((bench.company, "The Old Barn".to_owned())));
    assert!(bench.live(2).await.is_none() && bench.live(3).await.is_none());
    assert!(bench.store.is_live(good).await.unwrap() && !bench.store.is_live(old).await.unwrap());
    assert!(
        bench.holds("(SELECT bool_and((last_used_at IS NOT NULL) = (expires_at IS NULL)) FROM token)").await
    );
    let revoke = async |id| {
        let mut command = bench.command().await;
        let revoked = command.revoke_token(id).await;
        command.commit().await.unwrap();
        revoked
    };
    let since = revoke(good).await.unwrap().revoked_at;
    assert_eq!(revoke(good).await.unwrap().revoked_at, since, "since the first time");
    assert!(bench.live(1).await.is_none() && !bench.store.is_live(good).await.unwrap());
    let of_hash = async |hash| bench.store.token_of_hash(&[hash; 32]).await.unwrap();
    assert_eq!((of_hash(1).await, of_hash(2).await, of_hash(3).await), (Some(good), Some(old), None));
    let unknown = TokenId::generate();
    assert_eq!(revoke(unknown).await.unwrap_err().to_string(), format!("no token {unknown}"));
}

#[tokio::test]
async fn tokens_are_listed_newest_first_and_by_company() {
    let bench = Bench::new().await;
    let [own, all] = [bench.token(1, None, true).await, bench.token(2, None, false).await];
    let list = async |company, after| {
        let tokens = bench.store.tokens(company, after, 10).await.unwrap();
        tokens.into_iter().map(|token| token.id).collect::<Vec<_>>()
    };
    let mut both = [own, all];
    both.sort_by_key(|id| std::cmp::Reverse(*id));
    assert_eq!(list(None, None).await, both);
    assert_eq!(list(None, Some(both[0])).await, both[1..]);
    assert_eq!(list(Some(bench.company), None).await, [own]);
}

#[tokio::test]
async fn what_is_another_companys_is_as_if_it_were_not_there() {
    let mut bench = Bench::new().await;
    let delivery = bench.pending().await.deliveries[0];
    let item = bench.push(&dead()).await;
    let token = bench.token(1, None, true).await;
    let mut command = bench.command().await;
    let plan = leadlined::domain::plan::Plan::Pro;
    let other = command.create_company(None, "The Mill", plan, None).await.unwrap().id;
    command.commit().await.unwrap();
    let things = [
        (Owned::Delivery, delivery.uuid()),
        (Owned::Attempt, item.attempt.uuid()),
        (Owned::Token, token.uuid()),
    ];
    for (kind, id) in things {
        let owned = async |company| bench.store.owned(company, kind, Some(id), "").await.unwrap();
        assert_eq!(owned(bench.company).await, Some(id), "{}", kind.word());
        assert_eq!(owned(other).await, None, "{}", kind.word());
    }
    for kind in [Owned::Job, Owned::Flow, Owned::Form, Owned::IntakeKey, Owned::Attempt] {
        let id = Some(KeyId::generate().uuid());
        assert_eq!(bench.store.owned(bench.company, kind, id, "").await.unwrap(), None, "{}", kind.word());
    }
    let strange = async |company, ids: &[Uuid]| bench.store.strange_delivery(company, ids).await.unwrap();
    assert_eq!(strange(bench.company, &[delivery.uuid()]).await, None);
    assert_eq!(strange(other, &[delivery.uuid()]).await, Some(delivery.uuid()));
}
