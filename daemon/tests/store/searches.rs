//! Searches for who leads are, in companies of every size.

use leadlined::{
    domain::{fanout::Fate, ids::LeadId},
    store::{ensure_trigrams, lead::place::LeadPlace},
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

/// What leads say is read page by page, newest first; an erased one says nothing, and is gone past all the same.
#[tokio::test]
async fn what_leads_say_is_read_in_bounded_pages() {
    let mut bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    bench.integration(other, "mill").await;
    let company = Some(bench.company);
    let mut leads = Vec::new();
    for name in ["Ann", "Ben", "Cleo"] {
        let body = format!("{{\"lead\":\"{name}\"}}");
        leads.push(bench.somebody(bench.company, name, &body, &Fate::Pending).await);
    }
    let theirs = bench.somebody(other, "Dora", "{}", &Fate::Pending).await;
    let read = async |bench: &Bench, company, after, limit, bytes| {
        let page = bench.store.lead_bodies(company, after, limit, bytes).await.unwrap().unwrap();
        let read =
            page.into_iter().map(|lead| (lead.place, lead.body.map(|body| String::from_utf8(body).unwrap())));
        read.collect::<Vec<_>>()
    };
    let ids =
        |page: &[(LeadPlace, Option<String>)]| page.iter().map(|(place, _)| place.lead).collect::<Vec<_>>();
    let all = read(&bench, None, None, 10, 1_000_000).await;
    assert_eq!(ids(&all), [theirs, leads[2], leads[1], leads[0]]);
    assert!(all[1].1.as_ref().unwrap().contains("Cleo"), "{all:?}");
    let own = read(&bench, company, None, 2, 1_000_000).await;
    assert_eq!(ids(&own), [leads[2], leads[1]]);
    assert_eq!(ids(&read(&bench, company, Some(own[1].0), 2, 1_000_000).await), [leads[0]]);
    assert_eq!(read(&bench, Some(other), Some(all[0].0), 2, 1_000_000).await, []);
    // However little may be read, one is; and one more while there is room.
    assert_eq!(ids(&read(&bench, company, None, 10, 1).await), [leads[2]]);
    let length = own[0].1.as_ref().unwrap().len();
    assert_eq!(ids(&read(&bench, company, None, 10, length as i64 + 1).await), [leads[2], leads[1]]);

    let mut command = bench.command().await;
    command.erase_lead(None, &leads[2].to_string()).await.unwrap();
    command.commit().await.unwrap();
    let left = read(&bench, company, None, 10, 1_000_000).await;
    assert_eq!(ids(&left), [leads[2], leads[1], leads[0]]);
    assert_eq!(left[0].1, None);
    let asked = leads.iter().map(|lead| (bench.company, *lead)).chain([(other, theirs)]).collect::<Vec<_>>();
    let kept = bench.store.not_erased(&asked).await.unwrap();
    assert_eq!(kept, [asked[0], asked[1], asked[3]].into());
    // Another company has no such lead.
    assert!(bench.store.not_erased(&[(other, leads[0])]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_page_that_takes_the_database_too_long_is_given_up() {
    let mut bench = Bench::new().await;
    bench.named("Ann").await;
    // Whoever holds the table keeps a reader waiting.
    let mut holder = bench.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE event IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
    assert!(bench.store.lead_bodies(None, None, 10, 1_000_000).await.unwrap().is_none());
    holder.rollback().await.unwrap();
    assert_eq!(bench.store.lead_bodies(None, None, 10, 1_000_000).await.unwrap().unwrap().len(), 1);
}
