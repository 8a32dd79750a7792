SELECT x.company_id AS "company_id!", x.id AS "id!", x.at AS "at!: _", x.operator AS "operator!", x.action AS "action!",
    x.target AS "target!", x.times, x.first_at AS "first_at: _"
FROM (SELECT id FROM company UNION ALL SELECT 0) c CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT r.company_id, r.id, r.last_at AS at, r.operator, 'ReadLead' AS action, r.target, r.times, r.first_at
         FROM reading r
         WHERE r.company_id = c.id
           AND ($2::uuid IS NULL OR r.id < $2)
           AND ($3::text IS NULL OR r.operator = $3)
           AND ($4::timestamptz IS NULL OR r.last_at >= $4)
           AND ($5::timestamptz IS NULL OR r.first_at < $5)
           AND ($7::text IS NULL OR r.target = $7)
           AND ($8::uuid IS NULL OR r.id >= $8)
           AND ($9::uuid IS NULL OR r.id < $9)
         ORDER BY r.id DESC LIMIT $6)
        UNION ALL
        -- A daemon of the version before writes what keys read here, too.
        (SELECT a.company_id, a.id, a.at, a.operator, a.action, a.target, NULL, NULL
         FROM audit a
         WHERE a.company_id = c.id AND a.action IN ('ReadLead', 'Reveal', 'ExportPerson')
           AND ($2::uuid IS NULL OR a.id < $2)
           AND ($3::text IS NULL OR a.operator = $3)
           AND ($4::timestamptz IS NULL OR a.at >= $4)
           AND ($5::timestamptz IS NULL OR a.at < $5)
           AND ($7::text IS NULL OR a.target = $7)
           AND ($8::uuid IS NULL OR a.id >= $8)
           AND ($9::uuid IS NULL OR a.id < $9)
         ORDER BY a.id DESC LIMIT $6)) y
    ORDER BY y.id DESC LIMIT $6) x
WHERE $1::bigint IS NULL OR c.id = $1
ORDER BY x.id DESC LIMIT $6
