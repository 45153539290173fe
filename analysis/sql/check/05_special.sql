-- How are special mappings told apart, [vdso] and [vvar]? Heap, stack and named anonymous memory are anonymous memory:
-- their names come from where they are, or from prctl(PR_SET_VMA), and change without any change of a mapping.
CREATE MACRO special(dev, inode, path) AS CASE
    WHEN dev <> 0 OR inode <> 0 OR path IN ('//anon'::BLOB, '[heap]'::BLOB, '[stack]'::BLOB) OR path::VARCHAR LIKE '[anon%' THEN ''::BLOB
    ELSE path
END;
