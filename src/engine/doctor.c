/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "engine/engine_internal.h"
#include "sys/file.h"
#include "sys/mounts.h"
#include "sys/process.h"
#include "sys/userns.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LOW_SPACE (UINT64_C(5) << 30)

void doctor_row_fini(struct doctor_row *r)
{
	mem_freep(&r->name);
	mem_freep(&r->detail);
	mem_freep(&r->fix);
}

/* Takes detail. */
static struct doctor_row *add(struct vec *rows, const char *name, char *detail)
{
	struct doctor_row *r = vec_push(rows);

	r->name = mem_strdup(name);
	r->detail = detail;
	return r;
}

static void add_failure(struct vec *rows, const char *name, struct err *e, const char *fix)
{
	const char *hint = err_hint_text(e);
	struct doctor_row *r = add(rows, name, err_text(e));

	r->fix = mem_strdup(hint ? hint : fix);
	r->state = DOCTOR_FAIL;
	err_free(e);
}

static void check_kernel(struct vec *rows)
{
	struct utsname u = {0};
	unsigned major = 0, minor = 0;

	uname(&u);
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2 || major > 5 || (major == 5 && minor >= 11))
		return;
	struct doctor_row *r = add(rows, "kernel version", mem_printf("Linux %s", u.release));
	r->state = DOCTOR_FAIL;
	r->fix = mem_strdup("Linux 5.11 or newer is needed (openat2, mounts in user namespaces)");
}

static void check_user(struct vec *rows)
{
	struct vec checks = VEC_OF(struct userns_check);

	userns_describe(userns_outer_uid(), &checks);
	for (size_t i = 0; i < checks.len; i++) {
		struct userns_check *k = vec_at(&checks, i);
		struct doctor_row *r = add(rows, k->name, mem_strdup(k->detail));
		r->fix = mem_strdup(k->fix);
		r->state = !k->fix ? DOCTOR_OK : k->fatal ? DOCTOR_FAIL : DOCTOR_WARN;
		userns_check_fini(k);
	}
	vec_fini(&checks);
}

static void check_space(struct vec *rows, struct engine *e)
{
	uint64_t free_bytes = 0;
	char text[CLOCK_TEXT_MAX];
	struct err *failure = fd_free_space(store_dirfd(e->store), &free_bytes);

	if (failure) {
		add_failure(rows, "store", failure, NULL);
		return;
	}
	struct doctor_row *r =
		add(rows, "store", mem_printf("%s, %s free", e->home, size_text(free_bytes, text)));
	if (free_bytes < LOW_SPACE) {
		r->state = DOCTOR_WARN;
		r->fix = mem_strdup("images need room: free some, run \"cooper store gc\", or set "
				    "COOPER_HOME to a larger disk");
	}
}

static struct err *try_overlay(struct engine *e)
{
	AUTO_FREE char *dir = NULL;
	AUTO_FD int fd = -1;

	TRY(store_scratch(e->store, &dir));
	AUTO_FREE char *lower = path_join(dir, "lower");
	AUTO_FREE char *upper = path_join(dir, "upper");
	AUTO_FREE char *work = path_join(dir, "work");
	TRY(dir_make_all(AT_FDCWD, lower, 0755));
	TRY(dir_make_all(AT_FDCWD, upper, 0755));
	TRY(dir_make_all(AT_FDCWD, work, 0755));
	const char *lowers[] = {lower};
	return mount_overlay(
		&(struct overlay_request){.lowers = lowers, .lower_count = 1, .upper = upper, .work = work},
		&fd);
}

static void check_overlay(struct vec *rows, struct engine *e)
{
	struct err *failure = try_overlay(e);

	if (failure)
		add_failure(rows, "overlay mount", failure,
			"overlayfs must work on the store's disk: set COOPER_HOME to one on ext4, xfs or "
			"btrfs, not itself an overlay");
	else
		add(rows, "overlay mount", mem_strdup("works on the store's disk"));
}

static void check_program(struct vec *rows, const char *name, const char *flag, const char *needed_for)
{
	const char *argv[] = {name, flag, NULL};
	AUTO_BUF struct buf out = {0};
	struct err *e = process_run(&(struct process_request){.argv = argv}, &out, NULL);
	struct str line = str_c(buf_cstr(&out)), first;

	if (!e) {
		if (!str_split(&line, '\n', &first))
			first = STR("found");
		add(rows, name, mem_strndup(first.ptr, first.len));
		return;
	}
	err_ignore(e, "shown as missing");
	struct doctor_row *r = add(rows, name, mem_strdup("not found"));
	r->state = DOCTOR_WARN;
	r->fix = mem_printf("install it: it is needed for %s", needed_for);
}

static void check_python(struct vec *rows)
{
	const char *set = getenv("COOPER_PYTHON"), *python = set && *set ? set : "python3";
	const char *const argv[] = {python, "-c",
		"import importlib.metadata as m; print('dagger-io', m.version('dagger-io'))", NULL};
	AUTO_BUF struct buf out = {0};
	struct err *e = process_run(&(struct process_request){.argv = argv}, &out, NULL);
	struct str line = str_trim(buf_str(&out));

	if (!e) {
		add(rows, "container.py", mem_printf("%s has " STR_FMT, python, STR_ARG(line)));
		return;
	}
	err_ignore(e, "shown as missing");
	struct doctor_row *r = add(rows, "container.py", mem_printf("%s has no dagger-io", python));
	r->state = DOCTOR_WARN;
	r->fix = mem_printf(
		"%s -m pip install dagger-io, in a venv that COOPER_PYTHON names; only container.py needs it",
		python);
}

static void check_steps(struct vec *rows, struct engine *e)
{
	const char *ca = settings_ca_bundle(e->settings);

	add(rows, "certificates for steps",
		ca ? mem_printf("%s is handed in", ca) : mem_strdup("the images' own"));
	add(rows, "environment for steps",
		mem_printf(
			"%zu proxy variables, %zu others", e->settings->proxy_env.len, e->settings->env.len));
}

struct err *engine_doctor(const struct engine_options *opt, struct vec *rows)
{
	AUTO(engine_closep) struct engine *e = NULL;

	check_kernel(rows);
	check_user(rows);
	struct err *failure = engine_open(opt, &e);
	if (failure) {
		add_failure(rows, "store", failure, NULL);
		return NULL;
	}
	check_space(rows, e);
	check_overlay(rows, e);
	check_steps(rows, e);
	check_program(rows, "git", "--version", "git sources, and builds of a commit");
	check_python(rows);
	return NULL;
}
