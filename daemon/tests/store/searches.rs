//! Searches for who leads are, in companies of every size.

use leadlined::{
    domain::{fanout::Fate, ids::LeadId},
    store::ensure_trigrams,
};

use super::bench::Bench;

/// The index is asked, or the newest leads are gone through: whichever it is, they are the same.
#[tokio::test]
async fn a_text_is_found_in_a_company_of_any_size() {
    find_in_companies(Bench::new().await).await;
}

/// A database may lack the index, or have one that does not tell companies apart.
#[tokio::test]
async fn a_text_is_found_without_the_index_too() {
    let mut bench = Bench::new().await;
    let ann = bench.named("Ann Reed").await;
    let find = async |bench: &Bench| {
        let found = bench.store.find_leads(None, vec!["%reed%".to_owned()], None, 50).await.unwrap();
        (found.is_scan, found.leads.into_iter().map(|lead| lead.id).collect::<Vec<_>>())
    };
    bench.sql("DROP INDEX lead_person_folded").await;
    assert_eq!(find(&bench).await, (true, vec![ann]));
    assert!(ensure_trigrams(&bench.pool).await.unwrap());
    assert_eq!(find(&bench).await, (false, vec![ann]));
    bench.sql("DROP INDEX lead_person_folded; DROP EXTENSION btree_gin").await;
    bench.sql("CREATE INDEX lead_person_folded ON lead_person USING gin (folded gin_trgm_ops)").await;
    find_in_companies(bench).await;
}

async fn find_in_companies(mut bench: Bench) {
    let other = bench.add_company("The Mill").await;
    bench.integration(other, "mill").await;
    let theirs = bench.somebody(other, "Zoe Quill", "{}", &Fate::Pending).await;
    let newest = bench.named("Tom Reed").await;
    bench.move_people().await;
    // Of a sample of everybody's leads, nearly all are called so.
    bench
        .sql(&format!(
            "INSERT INTO lead_person (company_id, lead_id, name, email, phone, folded)
             SELECT {other}, lpad(to_hex(n), 32, '0')::uuid, '', '', '', E'\nzoe quill\n' FROM generate_series(1, 90000) n;
             ANALYZE lead_person",
            other = other.0,
        ))
        .await;
    let company = Some(bench.company);
    let mut oldest: Vec<LeadId> = Vec::new();
    for (from, to) in [(1, 100), (101, 2_500), (2_501, 31_000)] {
        bench
            .sql(&format!(
                "INSERT INTO lead (company_id, id, uuid, event_id, digest, received_at)
                 SELECT l.company_id, lpad(to_hex(n), 32, '0')::uuid, lpad(n::text, 26, '0'), l.event_id, l.digest,
                     now() - (60 + n) * interval '1 second'
                 FROM lead l, generate_series({from}, {to}) n WHERE l.id = '{newest}';
                 INSERT INTO lead_person (company_id, lead_id, name, email, phone, folded)
                 SELECT {company}, lpad(to_hex(n), 32, '0')::uuid, 'Ann Reed', '', '',
                     E'\n' || CASE n WHEN {to} THEN 'zoe quill' ELSE 'ann reed' END || E'\n'
                 FROM generate_series({from}, {to}) n",
                newest = newest.uuid(),
                company = bench.company.0,
            ))
            .await;
        oldest.push(LeadId::from(uuid::Uuid::from_u128(to)));
        assert_eq!(bench.search("quill", company, None, 50).await, oldest, "{to}: the newest first");
        assert_eq!(bench.search("quill", company, None, 1).await, oldest[..1], "{to}");
        assert_eq!(
            bench.search("quill", company, Some(oldest[0]), 50).await,
            oldest[1..],
            "{to}: behind a place"
        );
        assert_eq!(bench.search("tom reed", company, None, 50).await, [newest], "{to}");
        assert_eq!(bench.search("reed", company, None, 50).await.len(), 50, "{to}");
        assert_eq!(bench.search("quill", Some(other), None, 50).await, [theirs], "{to}");
        assert_eq!(bench.search("nobody", company, None, 50).await, [], "{to}");
    }
}
