/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/rootfs.h"
#include "exec/step_internal.h"
#include "sys/file.h"

static bool names_an_owner(const struct op_exec *op)
{
	for (size_t i = 0; i < op->mount_count; i++)
		if (op->mounts[i].owner)
			return true;
	return false;
}

struct err *step_owners_find(struct run_context *rc, const struct op_exec *op, const struct snapshot *root,
	const struct step_io *io, struct arena *arena, struct op_exec *out)
{
	static const struct snapshot empty;
	AUTO_FD int view = -1;

	*out = *op;
	if (!names_an_owner(op))
		return NULL;
	TRY(rootfs_view(rc, root ? root : &empty, io, &view));
	struct exec_mount *mounts = arena_dup(arena, op->mounts, op->mount_count * sizeof(*mounts));
	for (size_t i = 0; i < op->mount_count; i++) {
		struct exec_mount *m = &mounts[i];
		if (!m->owner)
			continue;
		struct err *e = image_owner_lookup(view, m->owner, &m->uid, &m->gid);
		if (e)
			return err_wrap(e, "mount at %s", m->target);
	}
	out->mounts = mounts;
	return NULL;
}
