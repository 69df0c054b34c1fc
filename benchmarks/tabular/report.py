def write(cells, sets):
    pass
