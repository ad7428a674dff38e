/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Run fn in a child that shares our memory until it executes or returns, with this thread waiting that long.
 * fn may only make system calls: other threads hold locks. flags: CLONE_NEW*, CLONE_FILES. All signals are
 * blocked in fn. The child's id (the caller reaps it) or -errno; *pidfd (may be NULL) is a descriptor of it.
 */
int sys_vfork_run(int (*fn)(void *), void *arg, unsigned long flags, int *pidfd);
