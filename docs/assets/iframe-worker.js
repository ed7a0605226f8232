/* Browsers start no worker from the disk. There, the search of the pages runs in a hidden frame instead. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = `<script>
        var postMessage = data => parent.dispatchEvent(new CustomEvent("from-frame", { detail: [window, data] }))
        var importScripts = (...files) => files.reduce((before, file) => before.then(() => new Promise(done => {
          const script = document.createElement("script")
          script.src = file
          script.onload = done
          document.body.append(script)
        })), Promise.resolve())
      <\/script><body><script src="${url}"><\/script>`
      this.ready = new Promise(done => frame.addEventListener("load", done))
      window.addEventListener("from-frame", event => {
        const [from, data] = event.detail
        if (from !== frame.contentWindow) return
        const message = new MessageEvent("message", { data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
      document.body.append(frame)
      this.frame = frame
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
