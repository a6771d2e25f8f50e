if __name__ == "__main__":
    from fovea import entry

    entry.run("fovea.client.command")  # runs this program to its end
