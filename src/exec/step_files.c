/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that a step sees for its time only, in memory: names and addresses, and the machine's CA bundle.
 *
 * The bundle is shown by variables and settings files, not laid over the image's own bundle: replacing that
 * (as installing ca-certificates does) would fail on a mount point, and copying it would carry the machine's
 * CA into the image.
 */
#include "base/str.h"
#include "exec/step_internal.h"
#include "sys/file.h"
#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_FILE_MAX (1u << 20)
#define BUNDLE_MAX (64u << 20)

/* Where distributions keep the certificates they trust. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static const char *hostname(const struct step *s)
{
	return s->op->hostname ? s->op->hostname : "cooper";
}

static struct err *put(int dir, const char *name, const struct buf *text)
{
	AUTO_FD int fd = -1;
	TRY(file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd));
	if (fchmod(fd, 0644) < 0)
		return err_sys(errno, "making %s", name);
	return fd_write_all(fd, text->ptr, text->len, name);
}

/* A file of this machine; "" if it cannot be read. */
static void read_host(const char *path, struct buf *out)
{
	err_ignore(file_read(AT_FDCWD, path, HOST_FILE_MAX, out), "a machine without it");
}

static void resolv_conf(const struct step *s, struct buf *out)
{
	const struct host_settings *h = s->rc->host;
	if (s->op->network == NETWORK_NONE)
		return;
	if (!h || !h->nameservers) {
		read_host("/etc/resolv.conf", out);
		return;
	}
	for (size_t i = 0; h->nameservers[i]; i++)
		buf_addf(out, "nameserver %s\n", h->nameservers[i]);
	for (size_t i = 0; h->search && h->search[i]; i++)
		buf_addf(out, "%s%s%s", i ? " " : "search ", h->search[i], h->search[i + 1] ? "" : "\n");
}

static void add_hosts(struct buf *out, const char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		const char *eq = strchr(list[i], '=');
		if (eq)
			buf_addf(out, "%s\t%.*s\n", eq + 1, (int)(eq - list[i]), list[i]);
	}
}

/* Names this machine knows, but for those of itself. */
static void add_machine_hosts(struct buf *out)
{
	AUTO_BUF struct buf text = {0};
	read_host("/etc/hosts", &text);
	struct str rest = buf_str(&text), line;
	while (str_split(&rest, '\n', &line)) {
		line = str_trim(line);
		if (!line.len || line.ptr[0] == '#' || str_starts(line, "127.") || str_starts(line, "::1") ||
			str_starts(line, "fe00::") || str_starts(line, "ff0"))
			continue;
		buf_addf(out, STR_FMT "\n", STR_ARG(line));
	}
}

static void hosts(const struct step *s, struct buf *out)
{
	buf_addf(out, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", hostname(s));
	add_hosts(out, s->op->extra_hosts);
	add_hosts(out, s->rc->host ? s->rc->host->extra_hosts : NULL);
	if (s->op->network == NETWORK_HOST)
		add_machine_hosts(out);
}

static void end_line(struct buf *b)
{
	if (b->len && b->ptr[b->len - 1] != '\n')
		buf_addc(b, '\n');
}

/* What the image trusts already; when it has nothing yet, what this machine does. */
static struct err *trusted(int rootfd, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(bundles) && !out->len; i++) {
		AUTO_FD int fd = -1;
		struct err *e = root_open(rootfd, bundles[i], O_RDONLY | O_NONBLOCK, 0, &fd);
		if (!e)
			e = fd_read_all(fd, BUNDLE_MAX, bundles[i], out);
		err_ignore(e, "this one is not used");
	}
	for (size_t i = 0; i < ARRAY_LEN(bundles) && !out->len; i++)
		err_ignore(file_read(AT_FDCWD, bundles[i], BUNDLE_MAX, out), "this one is not used");
	return NULL;
}

static struct err *put_ca(struct step *s, struct attempt *a)
{
	const char *bundle = s->rc->host ? s->rc->host->ca_bundle : NULL;
	if (!bundle)
		return NULL;
	if (mkdirat(a->files_fd, "cooper", 0755) < 0)
		return err_sys(errno, "making " STEP_CA_DIR);
	AUTO_FD int dir = -1;
	TRY(file_open(a->files_fd, "cooper", O_RDONLY | O_DIRECTORY, 0, &dir));
	if (fchmod(dir, 0755) < 0)
		return err_sys(errno, "making " STEP_CA_DIR);
	AUTO_BUF struct buf ca = {0};
	struct err *e = file_read(AT_FDCWD, bundle, BUNDLE_MAX, &ca);
	if (e)
		return err_wrap(e, "the CA bundle for steps, %s", bundle);
	AUTO_BUF struct buf own = {0};
	TRY(trusted(a->root_fd, &own));
	end_line(&ca);
	buf_add(&ca, own.ptr, own.len);
	TRY(put(dir, "ca.crt", &ca));
	AUTO_BUF struct buf apt = {0};
	buf_adds(&apt, "Acquire::https::CAInfo \"" STEP_CA_FILE "\";\n");
	TRY(put(dir, "apt.conf", &apt));
	AUTO_BUF struct buf wget = {0};
	buf_adds(&wget, "ca_certificate = " STEP_CA_FILE "\n");
	TRY(put(dir, "wgetrc", &wget));
	a->has_ca = true;
	return NULL;
}

struct err *step_files_open(struct step *s, struct attempt *a)
{
	const struct mount_option opts[] = {{"mode", "0755", false}, {"size", "96m", false}};
	TRY(mount_new(
		"tmpfs", opts, ARRAY_LEN(opts), MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC, &a->files_fd));
	AUTO_BUF struct buf resolv = {0};
	resolv_conf(s, &resolv);
	TRY(put(a->files_fd, "resolv.conf", &resolv));
	AUTO_BUF struct buf names = {0};
	hosts(s, &names);
	TRY(put(a->files_fd, "hosts", &names));
	AUTO_BUF struct buf name = {0};
	buf_addf(&name, "%s\n", hostname(s));
	TRY(put(a->files_fd, "hostname", &name));
	return put_ca(s, a);
}

void step_files_points(const struct step *s, struct strvec *points)
{
	strvec_push(points, "/etc/hostname");
	strvec_push(points, "/etc/hosts");
	strvec_push(points, "/etc/resolv.conf");
	if (s->rc->host && s->rc->host->ca_bundle)
		strvec_push(points, STEP_CA_DIR "/");
}

static void plan_file(struct sandbox_plan *p, const char *name, const char *target, unsigned flags)
{
	struct sandbox_op *op = sandbox_add(p, SANDBOX_FROM_STAGE, target);
	op->stage = STAGE_FILES;
	op->source = name;
	op->flags = flags;
}

void step_files_plan(const struct attempt *a, struct sandbox_plan *p)
{
	plan_file(p, "/hostname", "/etc/hostname", 0);
	plan_file(p, "/hosts", "/etc/hosts", 0);
	plan_file(p, "/resolv.conf", "/etc/resolv.conf", 0);
	if (a->has_ca)
		plan_file(p, "/cooper", STEP_CA_DIR, MOUNT_READONLY);
}
