// What the tests ask of either library, in one way: harness.begin("Resumable" or "Flow", options), then outcome().
const harness = {
  begin(library, options) {
    const uploader = new window[library](options);
    this.uploader = uploader;
    this.successes = [];
    this.errors = [];
    this.ended = new Promise((resolve) => {
      uploader.on("complete", resolve);
      uploader.on("fileError", resolve);
    });
    uploader.on("fileSuccess", (file) => this.successes.push(file.relativePath));
    uploader.on("fileError", (file, message) => this.errors.push(message));
    uploader.on(library === "Flow" ? "filesSubmitted" : "filesAdded", () => uploader.upload());
    uploader.assignBrowse(document.getElementById("files"), false);
    uploader.assignBrowse(document.getElementById("folder"), true);
    uploader.assignDrop(document.getElementById("drop"));
  },

  async outcome() {
    await this.ended;
    return { successes: this.successes.sort(), errors: this.errors };
  },
};
