// Without this script the page is read anew now and then; with it, only what changed is replaced.
document.documentElement.classList.add("live");
