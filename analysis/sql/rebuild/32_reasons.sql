-- Which suspicions are there?
CREATE TABLE reasons (
    -- number of the suspicion
    reason_number,
    -- why what is mapped is not certain
    reason
) AS
SELECT row_number() OVER (ORDER BY reason)::INTEGER, reason FROM (SELECT DISTINCT reason FROM suspects);
