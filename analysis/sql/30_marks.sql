-- Where do heap and stack of an address space begin and end?
-- The kernel calls memory [heap] and [stack] by these places; a copy made by a fork has its original's.
CREATE VIEW marks (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- from when on [ns, CLOCK_MONOTONIC]
    from_ns,
    -- start_brk, brk or start_stack, as in the kernel's struct mm_struct; brk is rounded up to a page
    mark,
    -- where it is [address]
    address
) AS
SELECT capture, host, space, from_ns, mark, address FROM stored_marks;
