/* SPDX-License-Identifier: Apache-2.0 */
/* What would be done, compared as text: no rights needed. */
#include "sys/sandbox.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include <cmocka.h>

static const char *const argv[] = {"make", "all", NULL};
static const char *const env[] = {"PATH=/a:/b", NULL};
static const uint32_t groups[] = {1001, 44};

static struct sandbox_settings settings(void)
{
	return (struct sandbox_settings){
		.hostname = "cooper",
		.root_fd = -1,
		.uid = 1000,
		.gid = 1001,
		.groups = groups,
		.group_count = 2,
		.cwd = "/src",
		.argv = argv,
		.env = env,
	};
}

/* cgroup lines depend on the machine. Caller frees. */
static char *plan_text(const struct sandbox_settings *s)
{
	struct sandbox_plan *p AUTO(sandbox_plan_freep) = sandbox_plan_new();
	sandbox_plan_begin(p, s);
	sandbox_plan_end(p, s);
	struct err *e = sandbox_plan_check(p);
	if (e) {
		AUTO_FREE char *why = err_text(e);
		fail_msg("%s", why);
	}
	char *text = sandbox_plan_text(p);
	char *cgroup = strstr(text, "cgroup ");
	if (cgroup) {
		char *end = strchr(cgroup, '\n') + 1;
		memmove(cgroup, end, strlen(end) + 1);
	}
	return text;
}

#define MASKS                                  \
	"readonly /proc/bus\n"                 \
	"readonly /proc/fs\n"                  \
	"readonly /proc/irq\n"                 \
	"readonly /proc/sys\n"                 \
	"readonly /proc/sysrq-trigger\n"       \
	"mask /proc/acpi\n"                    \
	"mask /proc/asound\n"                  \
	"mask /proc/interrupts\n"              \
	"mask /proc/kcore\n"                   \
	"mask /proc/keys\n"                    \
	"mask /proc/latency_stats\n"           \
	"mask /proc/sched_debug\n"             \
	"mask /proc/scsi\n"                    \
	"mask /proc/timer_list\n"              \
	"mask /proc/timer_stats\n"             \
	"mask /sys/devices/virtual/powercap\n" \
	"mask /sys/firmware\n"

#define DEV_TAIL                                         \
	"pts /dev/pts nosuid noexec\n"                   \
	"tmpfs /dev/shm nosuid nodev noexec mode=1777\n" \
	"mqueue /dev/mqueue nosuid nodev noexec\n"

static void test_root(void **state)
{
	(void)state;
	struct sandbox_settings s = settings();
	AUTO_FREE char *text = plan_text(&s);
	assert_string_equal(text, "hostname cooper\n"
				  "root\n"
				  "proc /proc nosuid nodev noexec\n"
				  "sysfs /sys ro nosuid nodev noexec\n"
				  "dev /dev nosuid noexec\n" DEV_TAIL MASKS "pivot\n"
				  "mkdir /src mode=755\n"
				  "chdir /src\n"
				  "bounding a80425fb\n"
				  "ids 1000:1001 1001,44\n"
				  "caps a80425fb\n"
				  "no-new-privs\n"
				  "seccomp\n"
				  "exec make all\n");
}

static void test_rootless(void **state)
{
	(void)state;
	struct sandbox_settings s = settings();
	s.rootless = true;
	AUTO_FREE char *text = plan_text(&s);
	const char *want = "hostname cooper\n"
			   "root\n"
			   "proc /proc nosuid nodev noexec\n"
			   "bind /sys -> /sys ro nosuid nodev noexec\n"
			   "dev /dev nosuid noexec\n"
			   "bind /dev/full -> /dev/full\n"
			   "bind /dev/null -> /dev/null\n"
			   "bind /dev/random -> /dev/random\n"
			   "bind /dev/tty -> /dev/tty\n"
			   "bind /dev/urandom -> /dev/urandom\n"
			   "bind /dev/zero -> /dev/zero\n" DEV_TAIL MASKS "pivot\n";
	assert_int_equal(strncmp(text, want, strlen(want)), 0);
}

static void test_own_network_and_privileged(void **state)
{
	(void)state;
	struct sandbox_settings s = settings();
	s.rootless = true;
	s.own_network = true;
	s.privileged = true;
	AUTO_FREE char *text = plan_text(&s);
	assert_int_equal(strncmp(text, "hostname cooper\nloopback\nroot\n", 30), 0);
	assert_non_null(strstr(text, "\nsysfs /sys ro "));
	assert_null(strstr(text, "mask"));
	assert_null(strstr(text, "seccomp"));
	assert_null(strstr(text, "no-new-privs"));
	assert_non_null(strstr(text, "\nbounding ffffffffffffffff\n"));
}

static void test_candidates(void **state)
{
	(void)state;
	struct sandbox_settings s = settings();
	struct sandbox_plan *p AUTO(sandbox_plan_freep) = sandbox_plan_new();
	sandbox_plan_end(p, &s);
	const struct sandbox_op *op = sandbox_plan_at(p, sandbox_plan_len(p) - 1);
	assert_memory_equal(op->source, "/a/make\0/b/make\0", 17);
	static const char *const path[] = {"./x/y", NULL};
	s.argv = path;
	sandbox_plan_end(p, &s);
	op = sandbox_plan_at(p, sandbox_plan_len(p) - 1);
	assert_memory_equal(op->source, "./x/y\0", 7);
}

/* Make a whole plan, let change spoil it, and expect part in the message. */
static void rejects(void (*change)(struct sandbox_plan *p), const char *part)
{
	struct sandbox_settings s = settings();
	struct sandbox_plan *p AUTO(sandbox_plan_freep) = sandbox_plan_new();
	sandbox_plan_begin(p, &s);
	change(p);
	sandbox_plan_end(p, &s);
	struct err *e = sandbox_plan_check(p);
	assert_non_null(e);
	assert_int_equal(err_kind(e), ERR_BUG);
	AUTO_FREE char *text = err_text(e);
	err_free(e);
	if (!strstr(text, part))
		fail_msg("%s", text);
}

static void relative_target(struct sandbox_plan *p)
{
	sandbox_add(p, SANDBOX_TMPFS, "tmp");
}

static void no_target(struct sandbox_plan *p)
{
	sandbox_add(p, SANDBOX_MOUNT, NULL);
}

static void no_source(struct sandbox_plan *p)
{
	sandbox_add(p, SANDBOX_BIND, "/x");
}

static void second_root(struct sandbox_plan *p)
{
	sandbox_add(p, SANDBOX_ROOT, NULL);
}

static void early_exec(struct sandbox_plan *p)
{
	struct sandbox_op *op = sandbox_add(p, SANDBOX_EXEC, NULL);
	op->argv = argv;
	op->env = env;
	op->source = "";
}

static void high_stage(struct sandbox_plan *p)
{
	struct sandbox_op *op = sandbox_add(p, SANDBOX_FROM_STAGE, "/x");
	op->source = "/";
	op->stage = SANDBOX_STAGES;
}

static void test_rejects(void **state)
{
	(void)state;
	rejects(relative_target, "tmpfs, lacks an absolute target");
	rejects(no_target, "mount, lacks an absolute target");
	rejects(no_source, "bind, lacks a source");
	rejects(second_root, "root, comes too late");
	rejects(early_exec, "comes too late");
	rejects(high_stage, "lacks a lower stage number");
	struct sandbox_plan *p AUTO(sandbox_plan_freep) = sandbox_plan_new();
	struct err *e = sandbox_plan_check(p);
	assert_int_equal(err_kind(e), ERR_BUG);
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_rootless),
		cmocka_unit_test(test_own_network_and_privileged),
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_rejects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
