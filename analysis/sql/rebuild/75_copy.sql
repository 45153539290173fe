-- A copy begins with what stood in the original, less what its program said to leave out.
INSERT INTO live
SELECT copy * 4 + plane % 4, key - 1, lo, hi, look, base, actor('fork'::cause, 'tasks'::source, pid), NULL
FROM inherited WHERE plane % 4 <> 1;
INSERT INTO left_out
SELECT levels.level, copy * 4, key, lo, hi, pid
FROM inherited JOIN levels ON inherited.copy = levels.space WHERE plane % 4 = 1;
