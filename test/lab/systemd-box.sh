# Boots a real systemd as PID 1 of namespaces of its own: the system that runs the tests, with all of its programs, as the lower
# layer of a file system that lives in memory. Words: the box's directory, the checkout, Bun, the name of the box's cgroup.
# It runs in the mount and network namespaces of the box, which outlive a boot; its PID namespace is new.
set -eu
box=$1 checkout=$2 bun=$3 group=$4
cd "$box"
mount --make-rprivate /
mkdir -p upper work root checkout
mount -t overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" overlay root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t cgroup2 cgroup2 sys/fs/cgroup

# What it must not do to this machine's kernel, what it does not need, and the machine's own services.
mount -o bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
[ -e "$box/upper/first-boot" ] || {
  rm -rf etc/systemd/system/* etc/rc?.d/[SK]*
  for unit in systemd-udevd systemd-logind systemd-sysctl systemd-modules-load systemd-binfmt systemd-timesyncd \
    systemd-update-utmp systemd-random-seed e2scrub_reap; do
    ln -s /dev/null "etc/systemd/system/$unit.service"
  done
  for unit in sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
    dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount systemd-udevd-kernel.socket systemd-udevd-control.socket; do
    ln -s /dev/null "etc/systemd/system/$unit"
  done
  # Hide an installation of this machine itself.
  rm -rf usr/local/bin/buildomat-factory-sp-test opt/buildomat-factory-sp-test
  touch "$box/upper/first-boot"
}

# The kernel lets a user's namespace have a /proc of its own only if one can be seen whole.
mkdir -p lab/proc
mount -t proc proc lab/proc

# The checkout, to be written to, and the only Bun: what `npx -y bun@VERSION` would fetch.
mkdir -p checkout lab/bin lab/fetched "$box/checkout/upper" "$box/checkout/work"
mount -t overlay -o "lowerdir=$checkout,upperdir=$box/checkout/upper,workdir=$box/checkout/work" overlay checkout
touch lab/fetched/bun
mount --bind "$bun" lab/fetched/bun
printf '#!/bin/sh\nshift 2\nPATH=/lab/fetched:$PATH\nexec bun "$@"\n' >lab/bin/npx
chmod 755 lab/bin/npx

# A boot that its kernel does not tell from the one before.
cat /proc/sys/kernel/random/uuid >run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id

ip link set lo up
mkdir -p run/host
pivot_root . run/host
umount -l run/host
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=multi-user.target
