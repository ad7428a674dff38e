/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in namespaces of its own over a root file system of its own. What is to be done is a list of
 * operations: built first, checked, then applied in order in the child, all targets resolved inside the new
 * root.
 *
 * Ownership: a plan owns its memory and the descriptors of its operations. It can be started once.
 * Threads: a plan belongs to one thread; several sandboxes may run at once.
 */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sandbox_op_kind {
	SANDBOX_STAGE,    /* fd, a mount made by the caller, kept out of the program's sight as stage */
	SANDBOX_HOSTNAME, /* source: the name */
	SANDBOX_LOOPBACK, /* bring lo up */
	SANDBOX_ROOT,     /* fd: the mount that becomes "/" */
	SANDBOX_PROC,     /* target; of the new pid namespace */
	SANDBOX_SYSFS,    /* target; of the network namespace, read-only */
	SANDBOX_CGROUP, /* target; of the new cgroup namespace, read-only; left out where it cannot be had */
	SANDBOX_MQUEUE, /* target; of the new ipc namespace */
	SANDBOX_DEV,    /* target: the usual devices; bound: empty files to bind the host's over */
	SANDBOX_PTS,    /* target; gid of terminals, or -1 */
	SANDBOX_TMPFS,  /* target; size (0: the kernel's default), mode */
	SANDBOX_BIND,   /* source of the host at target, with what is mounted below it */
	SANDBOX_MOUNT,  /* fd, a mount made by the caller, at target */
	SANDBOX_FROM_STAGE, /* path source (links stay inside) of stage at target */
	SANDBOX_MASK,       /* target shows nothing; left out when absent */
	SANDBOX_READONLY,   /* target with all below becomes read-only; left out when absent */
	SANDBOX_PIVOT,      /* the new root becomes "/", the host's goes */
	SANDBOX_MKDIR,      /* target and missing parents, mode, 0:0 */
	SANDBOX_CHDIR,      /* target */
	SANDBOX_BOUNDING,   /* caps */
	SANDBOX_IDS,        /* uid, gid, groups */
	SANDBOX_CAPS,       /* caps */
	SANDBOX_NO_NEW_PRIVS,
	SANDBOX_SECCOMP,
	SANDBOX_EXEC, /* argv, env; source: what is tried, in order, NUL-separated, ending with an empty one
		       */
};

#define SANDBOX_STAGES 60

/* Plain data; strings borrowed for as long as the plan lives (sandbox_plan_arena). */
struct sandbox_op {
	enum sandbox_op_kind kind;
	const char *target; /* absolute path in the new root */
	const char *source;
	int fd;         /* -1: none, or made by sandbox_start; owned by the plan */
	unsigned flags; /* enum mount_flag */
	bool make;      /* target is made when it is missing, as a file or a directory as the mount is */
	bool bound;
	unsigned stage; /* < SANDBOX_STAGES */
	uint64_t size;
	uint32_t mode;
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t group_count;
	uint64_t caps;
	const char *const *argv;
	const char *const *env;
};

struct sandbox_plan;
struct sandbox_plan *sandbox_plan_new(void);
void sandbox_plan_free(struct sandbox_plan *p);
void sandbox_plan_freep(struct sandbox_plan **p);
struct arena *sandbox_plan_arena(struct sandbox_plan *p);
/* A fresh operation at the end; fd is -1. Borrowed until the next one is added. target is copied, may be
 * NULL. */
struct sandbox_op *sandbox_add(struct sandbox_plan *p, enum sandbox_op_kind kind, const char *target);
size_t sandbox_plan_len(const struct sandbox_plan *p);
const struct sandbox_op *sandbox_plan_at(const struct sandbox_plan *p, size_t i);
/* A line an operation, for people and tests. Caller frees. */
char *sandbox_plan_text(const struct sandbox_plan *p);
/* ERR_BUG naming the operation that is out of order or lacks something. */
MUST_USE struct err *sandbox_plan_check(const struct sandbox_plan *p);

/* What most sandboxes have in common. */
struct sandbox_settings {
	const char *hostname;
	bool own_network; /* a network namespace with nothing but lo */
	bool privileged;  /* all capabilities, no filter, nothing masked */
	bool rootless;    /* in a user namespace: devices are bound, not made */
	bool one_id;      /* only one id is mapped */
	int root_fd;      /* the mount that becomes "/"; the plan takes it over */
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t group_count;
	const char *cwd; /* made when missing */
	const char *const *argv;
	const char *const *env;
};
/* Host name, network, root, /proc, /sys, /dev: what comes before the caller's own mounts. */
void sandbox_plan_begin(struct sandbox_plan *p, const struct sandbox_settings *s);
/* Pivot, working directory, ids, capabilities, filter, program: what comes after them. */
void sandbox_plan_end(struct sandbox_plan *p, const struct sandbox_settings *s);
/* The mount points that sandbox_plan_begin needs in the root, with a slash at the end where it is a
 * directory. NULL ends. */
const char *const *sandbox_mount_points(void);

struct sandbox_start {
	const char *work_dir; /* absolute: a directory that is there; covered, for the sandbox alone, until
				 the pivot */
	bool own_network;
	bool foreground; /* in the terminal's foreground, in our session; else in a session without terminal
			  */
	int stdio[3];    /* borrowed */
};

struct sandbox_process {
	pid_t pid;
	int pidfd; /* readable once it ended */
};

/*
 * Start the program as process 1 of its namespaces. It is killed when the starting thread ends. An operation
 * that failed is named with its target; of SANDBOX_EXEC the error is as of execve(2) (err_sysno) and
 * *exec_failed is true.
 */
MUST_USE struct err *sandbox_start(struct sandbox_plan *p, const struct sandbox_start *how, bool *exec_failed,
	struct sandbox_process *out);
/* Kill it and everything in its namespaces. */
void sandbox_kill(const struct sandbox_process *p);
/* Wait for its end: *code is the exit status or 128 + *signal (0 when it was not killed). Closes pidfd. */
MUST_USE struct err *sandbox_wait(struct sandbox_process *p, int *code, int *signal);
