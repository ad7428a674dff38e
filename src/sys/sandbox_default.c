/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a plan that is the same for every program: the limits of what it can see and do. */
#include "base/buf.h"
#include "base/str.h"
#include "sys/caps.h"
#include "sys/mounts.h"
#include "sys/sandbox_internal.h"

#include <string.h>
#include <sys/vfs.h>

#define CGROUP2_MAGIC 0x63677270

static const char *const masked[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/sys/devices/virtual/powercap",
	"/sys/firmware",
};

static const char *const readonly[] = {
	"/proc/bus",
	"/proc/fs",
	"/proc/irq",
	"/proc/sys",
	"/proc/sysrq-trigger",
};

static const char *const devices[] = {
	"/dev/full",
	"/dev/null",
	"/dev/random",
	"/dev/tty",
	"/dev/urandom",
	"/dev/zero",
};

const char *const *sandbox_mount_points(void)
{
	static const char *const points[] = {"/dev/", "/proc/", "/sys/", NULL};
	return points;
}

static void add_tmpfs(struct sandbox_plan *p, const char *target, unsigned flags)
{
	struct sandbox_op *op = sandbox_add(p, SANDBOX_TMPFS, target);
	op->flags = flags;
	op->mode = 01777;
}

static void add_sys(struct sandbox_plan *p, const struct sandbox_settings *s)
{
	unsigned flags = MOUNT_READONLY | MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC;
	/* A new sysfs takes rights over the network namespace, which a user namespace has over its own only.
	 */
	bool fresh = !s->rootless || s->own_network;
	struct sandbox_op *op = sandbox_add(p, fresh ? SANDBOX_SYSFS : SANDBOX_BIND, "/sys");
	op->source = fresh ? NULL : "/sys";
	op->flags = s->privileged && !s->rootless ? flags & ~(unsigned)MOUNT_READONLY : flags;
	struct statfs st;
	if (fresh && statfs("/sys/fs/cgroup", &st) == 0 && st.f_type == CGROUP2_MAGIC)
		sandbox_add(p, SANDBOX_CGROUP, "/sys/fs/cgroup")->flags = op->flags;
}

static void add_dev(struct sandbox_plan *p, const struct sandbox_settings *s)
{
	struct sandbox_op *dev = sandbox_add(p, SANDBOX_DEV, "/dev");
	dev->flags = MOUNT_NOSUID | MOUNT_NOEXEC;
	dev->bound = s->rootless;
	for (size_t i = 0; s->rootless && i < ARRAY_LEN(devices); i++) {
		struct sandbox_op *op = sandbox_add(p, SANDBOX_BIND, devices[i]);
		op->source = devices[i];
	}
	struct sandbox_op *pts = sandbox_add(p, SANDBOX_PTS, "/dev/pts");
	pts->flags = MOUNT_NOSUID | MOUNT_NOEXEC;
	pts->gid = s->one_id ? (uint32_t)-1 : 5;
	add_tmpfs(p, "/dev/shm", MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC);
	sandbox_add(p, SANDBOX_MQUEUE, "/dev/mqueue")->flags = MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC;
}

void sandbox_plan_begin(struct sandbox_plan *p, const struct sandbox_settings *s)
{
	sandbox_add(p, SANDBOX_HOSTNAME, NULL)->source = arena_strdup(p->arena, s->hostname);
	if (s->own_network)
		sandbox_add(p, SANDBOX_LOOPBACK, NULL);
	sandbox_add(p, SANDBOX_ROOT, NULL)->fd = s->root_fd;
	sandbox_add(p, SANDBOX_PROC, "/proc")->flags = MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC;
	add_sys(p, s);
	add_dev(p, s);
	if (s->privileged)
		return;
	for (size_t i = 0; i < ARRAY_LEN(readonly); i++)
		sandbox_add(p, SANDBOX_READONLY, readonly[i]);
	for (size_t i = 0; i < ARRAY_LEN(masked); i++)
		sandbox_add(p, SANDBOX_MASK, masked[i]);
}

static const char *const *copy_list(struct arena *a, const char *const *list)
{
	size_t n = 0;
	while (list[n])
		n++;
	const char **copy = arena_array(a, n + 1, sizeof *copy);
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return copy;
}

/* Every path execvp(3) would try for argv0, each with its NUL, and one more NUL. */
static const char *candidates(struct arena *a, const char *argv0, const char *const *env)
{
	AUTO_BUF struct buf b = {0};
	if (strchr(argv0, '/')) {
		buf_addf(&b, "%s%c", argv0, 0);
	} else {
		struct str rest = {0}, dir;
		for (size_t i = 0; env[i]; i++) {
			if (cstr_starts(env[i], "PATH="))
				rest = str_c(env[i] + strlen("PATH="));
		}
		while (str_split(&rest, ':', &dir))
			buf_addf(&b, STR_FMT "%s%s%c", STR_ARG(dir), dir.len ? "/" : "./", argv0, 0);
	}
	buf_addc(&b, 0);
	return arena_dup(a, b.ptr, b.len);
}

void sandbox_plan_end(struct sandbox_plan *p, const struct sandbox_settings *s)
{
	uint64_t caps = s->privileged ? ~UINT64_C(0) : caps_default();
	sandbox_add(p, SANDBOX_PIVOT, NULL);
	sandbox_add(p, SANDBOX_MKDIR, s->cwd)->mode = 0755;
	/* As root: a directory that the user may not enter is still a place to start in. */
	sandbox_add(p, SANDBOX_CHDIR, s->cwd);
	sandbox_add(p, SANDBOX_BOUNDING, NULL)->caps = caps;
	struct sandbox_op *ids = sandbox_add(p, SANDBOX_IDS, NULL);
	ids->uid = s->uid;
	ids->gid = s->gid;
	ids->groups = arena_dup(p->arena, s->groups, s->group_count * sizeof *s->groups);
	ids->group_count = s->group_count;
	ids->bound = s->one_id;
	sandbox_add(p, SANDBOX_CAPS, NULL)->caps = caps;
	if (!s->privileged) {
		sandbox_add(p, SANDBOX_NO_NEW_PRIVS, NULL);
		sandbox_add(p, SANDBOX_SECCOMP, NULL);
	}
	const char *const *argv = copy_list(p->arena, s->argv);
	const char *const *env = copy_list(p->arena, s->env);
	struct sandbox_op *exec = sandbox_add(p, SANDBOX_EXEC, NULL);
	exec->argv = argv;
	exec->env = env;
	exec->source = candidates(p->arena, argv[0], env);
}
