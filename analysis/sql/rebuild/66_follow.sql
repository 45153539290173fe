-- One repetition of 65_hops.sql.
CREATE OR REPLACE TABLE hops AS
SELECT near.w, if(far.w IS NULL, near.up, far.up) AS up, near.shift + coalesce(far.shift, 0) AS shift
FROM hops AS near LEFT JOIN hops AS far ON near.up = far.w;
